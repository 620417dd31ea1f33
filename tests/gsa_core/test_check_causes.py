"""Why a layer or a block of one's own breaks the symmetry, and where the check cannot know."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from broken_layers import BROKEN, CHANNELS, GROUP, LAYOUTS, RIGHT, SIDE, Code, In
from cases import randomised
from torch import nn

from gsa_core import (
    GroupPool,
    GroupSelfAttention,
    LiftingSelfAttention,
    assert_equivariant,
    build_model,
    check_equivariance,
    cyclic_group,
)
from gsa_core.attention.encodings.registry import POSITIONAL, Encoding
from gsa_core.attention.encodings.tables import OffsetEncoding, OffsetTables
from gsa_core.check.__main__ import main


def features(noise):
    return noise(2, CHANNELS, GROUP.order, SIDE, SIDE)


@pytest.mark.parametrize("name", BROKEN)
def test_the_cause_of_a_broken_layer_is_named(name, noise):
    torch.manual_seed(0)
    make, cause = BROKEN[name]
    network = randomised(nn.Sequential(make(), nn.GELU()))
    report = check_equivariance(network, features(noise), GROUP)
    assert not report.equivariant
    assert len(report.causes) == 1, str(report)
    assert cause in report.causes[0]
    assert "0" in report.broken


@pytest.mark.parametrize("name", RIGHT)
def test_a_layer_that_is_right_is_not_alarmed(name, noise):
    torch.manual_seed(0)
    report = check_equivariance(randomised(RIGHT[name]()), features(noise), GROUP)
    assert report.equivariant, str(report)
    assert report.causes == []


@pytest.mark.parametrize("name", LAYOUTS)
def test_regular_features_are_known_in_the_layouts_of_transformers(name, noise):
    report = check_equivariance(LAYOUTS[name], features(noise), GROUP)
    assert report.layers[0].transforms == f"regular, {name}"
    assert report.layers[0].error == 0


def test_an_error_is_not_printed_where_the_layout_is_not_known(noise):
    module = In(
        lambda x: x.permute(4, 3, 2, 1, 0), lambda y, s: y.permute(4, 3, 2, 1, 0), nn.GELU()
    )
    report = check_equivariance(module, features(noise), GROUP)
    assert report.equivariant
    assert report.layers[0].transforms == "layout not known"
    assert "layer            -  layout not known  (GELU" in str(report)


class Offset(OffsetEncoding):
    """A value for each offset, whatever the frame."""

    kind = "offset"

    def __init__(self, setting):
        super().__init__()
        self.group, self.heads, self.head_dim = setting.of_heads
        self.values = nn.Parameter(torch.randn(3, 3, self.heads, self.head_dim))

    def forward(self, reaches):
        return OffsetTables(pairs=self.values.expand(self.group.order, -1, -1, -1, -1))


@pytest.mark.parametrize("form", ["framewise", "joint"])
def test_an_encoding_of_ones_own_is_named_and_not_the_layers_parameters(form, noise):
    with mock.patch.dict(POSITIONAL):
        POSITIONAL["offset"] = Encoding(lambda setting: {"relative": Offset(setting)})
        options = {"positional": "offset", "window": 3, "form": form}
        layer = GroupSelfAttention(GROUP, CHANNELS, 4, 2, **options)
        report = check_equivariance(randomised(layer), features(noise), GROUP)
        model = build_model(group="D4", image_size=8, channels=4, depth=1, **options)
    said = "its positional encoding (relative: Offset) is not a function of h^-1 d"
    assert said in str(report)
    assert "query_bias" not in str(report)
    report = check_equivariance(randomised(model), noise(2, 1, 8, 8), GROUP)
    assert said in str(report)
    assert "the forward of GroupSelfAttention, before blocks.0.attention.output" in report.broken


class Between(nn.Module):
    def __init__(self, middle):
        super().__init__()
        self.lift = LiftingSelfAttention(GROUP, 2, 4, num_heads=2, window=3)
        self.middle = middle
        self.attend = GroupSelfAttention(GROUP, 4, 4, 2, window=3)
        self.pool = GroupPool()

    def forward(self, image):
        x = self.middle(self.lift(image))
        return self.pool(x + self.attend(x)).mean((-2, -1))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.roll(1, 2),
        lambda x: x.flip(-1),
        lambda x: x.mT,
        lambda x: x[:, :, GROUP.inverse],
    ],
)
def test_where_it_is_not_decided_the_first_clear_error_is_named(change, noise):
    torch.manual_seed(0)
    report = check_equivariance(Between(Code(change)), noise(2, 2, 8, 8), "D4")
    assert not report.decided and report.broken is None
    assert report.suspect == "middle (Code)", str(report)
    assert "look first at middle (Code)\n    it" in str(report)


def test_what_is_inexact_throughout_has_its_first_inexact_layer_named(noise):
    convolution = nn.Conv2d(2, 3, 3)
    kernel = convolution.weight + convolution.weight.flip(-1)
    convolution.weight.data = sum(kernel.rot90(k, (-2, -1)) for k in range(4)).detach()
    network = nn.Sequential(nn.ReLU(), convolution, nn.GELU())
    report = check_equivariance(network, noise(2, 2, 8, 8), "C4")
    assert not report.decided
    assert report.suspect == "1 (Conv2d)"
    assert report.causes == []


def test_a_layer_of_another_group_is_named(noise):
    layer = GroupSelfAttention(cyclic_group(8), 2, 2, 1, window=3)
    report = check_equivariance(randomised(layer), noise(2, 2, 8, 5, 5), GROUP)
    assert report.causes == ["it is a layer of C8, which lacks elements of D4"]


def test_a_module_with_random_output_is_refused_in_one_sentence(noise):
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    network, image = nn.Sequential(nn.ReLU(), Noisy()), noise(2, 2, 8, 8)
    with pytest.raises(ValueError, match=r"is random in evaluation mode, first in 1 \(Noisy\)"):
        check_equivariance(network, image)
    with pytest.raises(AssertionError, match="another result for the same x: dropout"):
        assert_equivariant(network, image, "C4")
    with pytest.raises(AssertionError, match="check_equivariance names the layer"):
        assert_equivariant(nn.Conv2d(2, 2, 3).double(), image, "C4")


@pytest.mark.parametrize(
    "call",
    [
        lambda x: check_equivariance(nn.ReLU(), x),
        lambda x: assert_equivariant(nn.ReLU(), x, "C4"),
        lambda x: build_model(image_size=8)(x),
        lambda x: GroupSelfAttention(cyclic_group(4), 2, 2, 1, window=3)(x),
    ],
)
def test_an_array_of_numpy_is_refused_in_one_sentence(call, noise):
    with pytest.raises(TypeError, match=r"got a ndarray; accepts a torch.Tensor, such as"):
        call(noise(1, 1, 8, 8).numpy())


def test_an_error_relative_to_differences_is_explained_where_it_occurs(noise):
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    said = "* relative to how much the vectors of different images differ"
    report = check_equivariance(network, noise(2, 2, 8, 8), "C4")
    assert report.layers[-1].of_differences
    assert said in str(report)
    assert said not in str(check_equivariance(nn.ReLU(), noise(2, 2, 8, 8), "C4"))


def test_the_command_takes_feature_maps(capsys):
    assert main(["broken_layers:Attended", "--input", "2,3,8,5,5"]) == 0
    assert "the output transforms under D4" in capsys.readouterr().out
