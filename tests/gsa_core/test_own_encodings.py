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
        (lambda _: nn.Linear(2, 2), TypeError, "'own'.*returned a Linear; accepts modules by"),
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


@pytest.mark.parametrize("name", ["none", "relative"])
def test_the_names_of_the_library_are_not_replaced(name):
    with pytest.raises(ValueError, match=f"{name!r} is an encoding of the library"):
        POSITIONAL[name] = Encoding(lambda setting: {"relative": Distance(setting)})


def test_an_encoding_is_more_than_its_class():
    with pytest.raises(TypeError, match="accepts an Encoding"):
        POSITIONAL["own"] = Distance


def test_a_name_that_was_not_entered_says_so(tmp_path):
    build_model(**SMALL, positional="distance").save(tmp_path / "own.safetensors")
    del POSITIONAL["distance"]
    with pytest.raises(ValueError, match=r"'distance'.*entered in POSITIONAL before"):
        load(tmp_path / "own.safetensors")


class Wrong(Distance):
    """Tables of some other shape."""

    wrong = staticmethod(lambda tables: tables)

    def forward(self, reaches):
        return self.wrong(super().forward(reaches))


@pytest.mark.parametrize("method", ["auto", "kernel", "torch", "written_out"])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda tables: OffsetTables(pairs=tables.pairs[:, 1:]), "pairs.*accepts"),
        (lambda tables: OffsetTables(pairs=tables.pairs[:1]), r"pairs.*got \(1, .*accepts \(4, "),
        (lambda tables: OffsetTables(rows=tables.pairs[:, :, 0]), "rows or cols alone"),
        (lambda tables: OffsetTables(frames=tables.pairs[:, :1]), "frames.*accepts"),
        (lambda tables: OffsetTables(pairs=tables.pairs.double()), "pairs.*float64; accepts"),
        (lambda tables: tables.pairs, "returned a Tensor; accepts OffsetTables"),
    ],
)
def test_tables_of_another_shape_are_refused_before_any_method_reads_them(
    noise, monkeypatch, wrong, message, window, method
):
    monkeypatch.setattr(Wrong, "wrong", staticmethod(wrong))
    POSITIONAL["own"] = Encoding(lambda setting: {"relative": Wrong(setting)})
    layer = GroupSelfAttention(cyclic_group(4), 4, 4, 2, positional="own", window=window,
                               method=method)  # fmt: skip
    with pytest.raises((ValueError, TypeError), match=f"positional 'own': .*{message}"):
        layer(noise(1, 4, 4, 6, 6).float())


def test_the_operator_of_the_kernel_refuses_tables_that_it_would_read_beyond():
    query = torch.rand(1, 6, 6, 4, 1, 2, 2)
    table = torch.rand(4, 3, 3, 2, 2)
    with pytest.raises(ValueError, match=r"gsa_core::attention: pairs.*got .*3, 3.*accepts .*11"):
        torch.ops.gsa_core.attention(
            query, query, query, None, None, table, None, None, "square", 1.0
        )


def test_an_encoding_without_a_forward_is_named(noise):
    class Empty(OffsetEncoding):
        pass

    POSITIONAL["own"] = Encoding(lambda setting: {"relative": Empty()})
    layer = GroupSelfAttention(cyclic_group(4), 4, 4, 2, positional="own", window=3)
    with pytest.raises(NotImplementedError, match="Empty: has no forward"):
        layer(noise(1, 4, 4, 6, 6).float())
