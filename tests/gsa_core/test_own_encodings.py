"""Positional encodings that a user registers at run time."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from cases import randomised
from torch import nn

from gsa_core import (
    GroupSelfAttention,
    assert_equivariant,
    build_model,
    check_equivariance,
    cyclic_group,
    load,
)
from gsa_core.attention.encodings.absolute import AbsoluteEncoding
from gsa_core.attention.encodings.registry import POSITIONAL, Encoding
from gsa_core.attention.encodings.tables import OffsetEncoding, OffsetTables

SMALL = {"group": "D4", "image_size": 8, "channels": 4, "depth": 1}


class Distance(OffsetEncoding):
    """A line of the distance: says neither a kind nor whether it is scaled."""

    def __init__(self, setting):
        super().__init__()
        self.group, self.heads, self.head_dim = setting.of_heads
        self.slope = nn.Parameter(torch.randn(self.heads * self.head_dim))

    def forward(self, reaches):
        rows, cols = (torch.arange(-n, n + 1).to(self.slope) for n in reaches)
        values = (rows[:, None] ** 2 + cols**2).sqrt()[..., None] * self.slope
        values = values.unflatten(-1, (self.heads, self.head_dim))
        return OffsetTables(pairs=values.expand(self.group.order, *values.shape))


class OneFrame(Distance):
    """Wrong: a row offset that no frame turns."""

    def forward(self, reaches):
        tables = super().forward(reaches)
        rows = torch.arange(-reaches[0], reaches[0] + 1).to(self.slope)
        return OffsetTables(pairs=tables.pairs * rows[:, None, None, None])


class Shifted(AbsoluteEncoding):
    """Absolute positions of one's own."""

    def values(self):
        return super().values() + 1


@pytest.fixture(autouse=True)
def _registered():
    def shifted(setting):
        return {"absolute": Shifted(setting.group, setting.channels, setting.image_size)}

    with mock.patch.dict(POSITIONAL):
        POSITIONAL["distance"] = Encoding(lambda setting: {"relative": Distance(setting)})
        POSITIONAL["one frame"] = Encoding(lambda setting: {"relative": OneFrame(setting)})
        POSITIONAL["shifted"] = Encoding(shifted, on_tokens=True, on_scores=False)
        yield


@pytest.mark.parametrize("method", ["auto", "written_out"])
def test_layers_use_it(noise, method):
    group = cyclic_group(4)
    layer = GroupSelfAttention(group, 4, 4, 2, positional="distance", window=3, method=method)
    assert_equivariant(randomised(layer), noise(1, 4, 4, 5, 5), group)


@pytest.mark.parametrize("positional", ["distance", "shifted"])
def test_networks_use_it_and_are_saved(noise, tmp_path, positional):
    model = randomised(build_model(**SMALL, positional=positional))
    image = noise(2, 1, 8, 8)
    assert check_equivariance(model, image, "D4").equivariant
    model.save(tmp_path / "own.safetensors")
    same = load(tmp_path / "own.safetensors")
    torch.testing.assert_close(same(image), model.eval()(image))


def test_a_network_adds_its_own_absolute_positions():
    model = build_model(**SMALL, positional="shifted")
    assert any(isinstance(module, Shifted) for module in model.modules())


def test_a_wrong_one_is_found(noise):
    model = randomised(build_model(**SMALL, positional="one frame"))
    assert not check_equivariance(model, noise(2, 1, 8, 8), "D4").equivariant


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda _: {"relative": nn.Linear(2, 2)}, TypeError, "'own'.*Linear.*OffsetEncoding"),
        (lambda _: {"offsets": nn.Linear(2, 2)}, ValueError, "'own'.*'offsets'.*'relative'"),
    ],
)
def test_what_layers_cannot_use_is_named(make, error, message):
    POSITIONAL["own"] = Encoding(make)
    with pytest.raises(error, match=message):
        build_model(**SMALL, positional="own")


def test_absolute_positions_need_their_module():
    POSITIONAL["own"] = Encoding(lambda _: {}, on_tokens=True)
    with pytest.raises(ValueError, match="no module 'absolute'"):
        build_model(**SMALL, positional="own")
