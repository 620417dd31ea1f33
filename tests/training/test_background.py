"""The background of an image is what enters when it is turned: in data, training and measures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_study import small_data, study
from images import own
from PIL import Image
from torch import nn

from gsa_core import build_model
from pipeline.confirm.measures.lie_derivative import lie_errors
from pipeline.confirm.measures.measure import TestSplits as Splits
from pipeline.confirm.measures.measure import measure
from pipeline.dataset import Split, load_dataset
from pipeline.dataset.store import SPLITS
from pipeline.prepare.stage import prepare_all
from pipeline.search.space import configuration
from pipeline.study.cells import Cell
from pipeline.training import epoch
from pipeline.training import loop as training
from pipeline.training.augment import turned_at_random


def drawings(folder: Path, mode: str) -> Path:
    """Two classes of dark blots on a light background: opaque, or transparent beside the ink."""
    random = np.random.default_rng(0)
    for label in "ab":
        (folder / label).mkdir(parents=True)
        for number in range(12):
            ink = np.zeros((16, 24), dtype=bool)
            ink[4:12, 6:18] = random.random((8, 12)) > 0.5
            opaque = np.where(ink, 0, 255).astype(np.uint8)
            dark = np.full_like(opaque, 20)
            values = np.dstack([dark, 255 - opaque]) if mode == "LA" else opaque
            Image.fromarray(values, mode).save(folder / label / f"{number}.png")
    return folder


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("mode", "options", "background"),
    [
        ("L", {"fit": "pad", "pad_value": 255}, 1),
        ("L", {"fit": "pad", "pad_value": 51}, 0.2),
        ("L", {"fit": "pad", "pad_value": 0.5, "dtype": "float32"}, 0.5),
        ("L", {"fit": "pad", "pad_value": "edge"}, "edge"),
        ("L", {"size": (16, 24), "pad_value": 255}, 1),
        ("L", {"background": "white"}, 1),
        ("LA", {}, 1),  # background: auto chooses white
        ("LA", {"background": "black"}, 0),
        ("LA", {"fit": "pad"}, 0),  # its frame is black
        ("L", {}, 1),  # as the borders are
        ("L", {"background": "black"}, 0),
    ],
)
def test_turned_images_of_your_own_get_the_ground_from_outside(
    mode: str, options: dict[str, Any], background: float | str, tmp_path: Path
) -> None:
    options = {"size": 24, "channels": 1, **options}
    settings = own(drawings(tmp_path / "in", mode), **options)
    prepare_all(settings, tmp_path / "out")
    data = load_dataset(tmp_path / "out/mine", SPLITS)
    assert data.background == data.card["ground"] == background and data.test_turned is not None
    degrees = np.load(tmp_path / "out/mine/test_angles.npy")
    corners = data.test_turned.images[np.abs(degrees % 90 - 45) < 30][:, 0, 0, 0]
    value = float(1 if background == "edge" else background)
    assert len(corners)
    np.testing.assert_allclose(corners / (255 if data.card["dtype"] == "uint8" else 1), value)


@pytest.mark.parametrize("background", [0, 1, 0.25, "edge"])
def test_training_images_are_turned_over_the_ground(
    background: float | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    def turned(*arguments: object) -> torch.Tensor:
        seen.append(turned_at_random(*arguments))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(epoch, "turned_at_random", turned)
    data = small_data()
    flat = Split(np.full((16, 1, 8, 8), 0.25, dtype=np.float32), data.train.labels)
    data = replace(data, train=flat, card={**data.card, "ground": background})
    params = study(epochs=1)
    sampled = {"learning_rate": 0.01, "channels": 8}
    cell = Cell("gsa", "C1", "relative", 1, "stem", "turn")
    training.train(configuration(cell, sampled, params, data), data)
    corner = torch.cat(seen)[:, 0, 0, 0]
    value = 0.25 if background == "edge" else float(background)
    assert (corner - value).abs().min() < 1e-6
    assert (torch.cat(seen) - 0.25).abs().max() <= abs(value - 0.25) + 1e-6


@pytest.mark.parametrize("background", [1, 0.25, "edge"])
def test_measures_move_images_over_their_ground(background: float | str) -> None:
    """Images that are nothing but background look the same however they are moved."""
    value = 0.5 if background == "edge" else background
    images = np.full((6, 1, 8, 8), value, dtype=np.float32)
    images[:, :, 3:5, 3:5] = np.random.default_rng(0).random((6, 1, 2, 2))

    class Border(nn.Module):
        """Logits that see the outermost pixels alone, and tell the images apart by the inner."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = build_model(group="C4", image_size=8, num_classes=3, channels=4, depth=1)

        def layers(self) -> dict[str, nn.Module]:
            layers: dict[str, nn.Module] = self.inner.layers()  # type: ignore[operator]
            return layers

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            border = x[..., 0, :].sum((1, 2)) + x[..., -1, :].sum((1, 2))
            return torch.stack([border, x.sum((1, 2, 3)), 0 * border], 1)

    split = Split(images, np.arange(6) % 3)
    over, black = (
        measure(Border().eval(), Splits(split, split, g), group="C4", angles=8, layer_images=2)[0]
        for g in (background, 0)
    )
    for found, least, most in ((over, 0, 0.3), (black, 0.5, np.inf)):
        shifts = [row["invariance_error"] for row in found.moves if row["kind"] == "shift"]
        turns = [row["invariance_error"] for row in found.angles if not row["exact"]]
        assert all(least <= error <= most for error in shifts[:4] + turns), found


def test_the_lie_derivative_of_an_image_depends_on_what_is_drawn_on_the_ground() -> None:
    class Over(nn.Module):
        def __init__(self, background: float) -> None:
            super().__init__()
            self.background, self.inner = background, build_model(image_size=8, channels=4, depth=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x - self.background)

    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.5
    torch.manual_seed(0)
    black, white = Over(0), Over(0.5)
    white.load_state_dict(black.state_dict())
    expected = lie_errors(black.eval(), images)
    found = lie_errors(white.eval(), images + 0.5, 0.5)
    assert found == pytest.approx(expected, rel=1e-4)
    assert lie_errors(white, images + 0.5) != pytest.approx(expected, rel=0.1)
