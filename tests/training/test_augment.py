"""Training images turned on the fly: by their own angles, exactly or bilinearly, differentiably."""

from __future__ import annotations

import pytest
import torch

from gsa_core import rotate_image
from pipeline.training.augment import turned_at_random

IMAGES = torch.rand(64, 2, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_is_turned_or_drawn_where_nothing_is_asked_for() -> None:
    generator = draw()
    assert turned_at_random(IMAGES, "none", generator) is IMAGES
    assert torch.equal(generator.get_state(), draw().get_state())


def test_quarter_turns_permute_the_pixels_of_each_image() -> None:
    turned = turned_at_random(IMAGES, "quarter", draw())
    four = [torch.rot90(IMAGES, k, (-2, -1)) for k in range(4)]
    found = torch.stack([(turned == one).flatten(1).all(1) for one in four])
    assert found.sum(0).eq(1).all()
    assert found.sum(1).min() > 5  # every turn is drawn


def test_any_turn_is_that_of_the_test_images_by_uniform_angles() -> None:
    turned = turned_at_random(IMAGES, "turn", draw(3))
    degrees = 360 * torch.rand(64, generator=draw(3), dtype=torch.float64)
    torch.testing.assert_close(turned, rotate_image(IMAGES, degrees))
    assert degrees.min() < 20 and degrees.max() > 340


def test_half_of_the_images_are_mirrored_before_they_are_turned() -> None:
    turned, generator = turned_at_random(IMAGES, "turn_mirror", draw(4)), draw(4)
    mirrored = torch.rand(64, generator=generator) < 0.5
    degrees = 360 * torch.rand(64, generator=generator, dtype=torch.float64)
    images = torch.stack([x.flip(-1) if m else x for x, m in zip(IMAGES, mirrored, strict=True)])
    torch.testing.assert_close(turned, rotate_image(images, degrees))
    assert 20 < mirrored.sum() < 44


@pytest.mark.parametrize("augment", ["quarter", "turn", "turn_mirror"])
def test_the_seed_decides_and_gradients_pass(augment: str) -> None:
    one, same, other = (turned_at_random(IMAGES, augment, draw(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    images = IMAGES[:3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: turned_at_random(x, augment, draw()), images)
