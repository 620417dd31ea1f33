"""Light augmentation: whole pixels, windows inside the image, colours from 0 to 1, by the seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gsa_core import shift_image
from pipeline.training.augment import light_augmented

COUNT = 40
IMAGES = torch.rand(COUNT, 3, 9, 7, generator=torch.Generator().manual_seed(0))


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


OFF: list[dict[str, Any]] = [{}, {"light_shift": 0, "light_crop": 0, "light_colour": 0}]


@pytest.mark.parametrize("config", OFF)
def test_what_is_off_draws_nothing(config: dict[str, Any]) -> None:
    generator = draw()
    assert light_augmented(IMAGES, config, generator) is IMAGES
    assert torch.equal(generator.get_state(), draw().get_state())


@pytest.mark.parametrize("outside", [0, 0.5, "edge"])
def test_shifts_are_whole_pixels_in_both_directions(outside: float | str) -> None:
    moved = light_augmented(IMAGES, {"light_shift": 2}, draw(), outside)
    seen = set()
    for image, found in zip(IMAGES, moved, strict=True):
        shifts = [
            (rows, cols)
            for rows in range(-2, 3)
            for cols in range(-2, 3)
            if torch.equal(shift_image(image, rows, cols, outside), found)
        ]
        assert len(shifts) == 1
        seen.update(shifts)
    assert {rows for rows, _ in seen} == {cols for _, cols in seen} == {-2, -1, 0, 1, 2}


def test_a_crop_is_a_window_of_the_image() -> None:
    """Of a linear ramp a window is a ramp again: shallower, and within the values of the whole."""
    ramp = torch.linspace(-1, 1, 9).expand(COUNT, 1, 9, 9)
    cropped = light_augmented(ramp, {"light_crop": 0.5}, draw())
    inner = cropped[:, 0, 4, 2:7]
    slopes = inner.diff(dim=1) / (2 / 8)
    torch.testing.assert_close(slopes, slopes[:, :1].expand_as(slopes), rtol=0, atol=1e-4)
    assert slopes.min() > 0.5 - 1e-4 and slopes.max() <= 1 + 1e-4
    assert slopes.min() < 0.6 and slopes.max() > 0.9
    assert cropped.min() >= -1 and cropped.max() <= 1
    centres = inner[:, 2]
    assert centres.min() < -0.2 and centres.max() > 0.2


def test_colours_stay_within_their_bounds() -> None:
    changed = light_augmented(IMAGES, {"light_colour": 0.5}, draw())
    assert changed.min() >= 0 and changed.max() <= 1
    flat = torch.full((COUNT, 1, 4, 4), 0.4)
    bright = light_augmented(flat, {"light_colour": 0.5}, draw())[:, 0, 0, 0]
    assert 0.2 <= bright.min() < 0.25 and 0.55 < bright.max() <= 0.6
    grey = flat.expand(-1, 3, -1, -1) * torch.rand(COUNT, 1, 4, 4, generator=draw())
    same = light_augmented(grey, {"light_colour": 0.5}, draw())
    torch.testing.assert_close(same[:, 0], same[:, 2])


@pytest.mark.parametrize("name", ["light_shift", "light_crop", "light_colour"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_seed_decides_and_images_differ(name: str, channels: int) -> None:
    config = {name: 3 if name == "light_shift" else 0.4}
    images = IMAGES[:1, :channels].expand(COUNT, -1, -1, -1)
    one, same, other = (light_augmented(images, config, draw(seed)) for seed in (1, 1, 2))
    assert one.shape == images.shape
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert len({image.numpy().tobytes() for image in one}) > 10
