"""The symmetry of any module, measured layer by layer."""

from __future__ import annotations

import check_networks
import pytest
import torch
from cases import randomised
from torch import nn

from gsa_core import (
    GroupPool,
    GroupSelfAttention,
    LiftingSelfAttention,
    build_model,
    check_equivariance,
    dihedral_group,
)
from gsa_core.check.__main__ import main

OWN = "the forward of ByFrame, before layer (GELU)"
SINGLE = 1e-6  # of kernels that were made symmetric in float32


def checked(name, group="C4", tolerance=SINGLE):
    torch.manual_seed(2)
    network = getattr(check_networks, name)()
    return check_equivariance(network, torch.rand(2, 2, 8, 8), group, tolerance=tolerance)


@pytest.mark.parametrize(
    "name", ["torch_invariant", "timm_invariant", "escnn_invariant", "own_folded_pointwise"]
)
def test_a_symmetric_network_transforms_in_every_layer(name):
    report = checked(name)
    assert report.equivariant
    assert report.broken is None, str(report)
    assert max(row.error for row in report.layers) < 1e-6
    assert "the output transforms under C4" in str(report)


@pytest.mark.parametrize(
    ("name", "layer", "cause"),
    [
        ("torch_plain", "2 (Conv2d)", "whose kernel is not turned"),
        ("torch_one_sided", "0 (ZeroPad2d)", "padding on one side alone"),
        ("torch_same_padding", "0 (Conv2d)", "padding='same' with an even kernel, 2x2"),
        ("torch_strided", "0 (Conv2d)", "on a side of 8 pixels leaves 1 at one end"),
        ("torch_pooled", "1 (MaxPool2d)", "on a side of 6 pixels leaves 1 at one end"),
        ("torch_flattened", "2 (Linear)", "a linear map of flattened positions"),
        ("timm_patches", "patch_embed (Conv2d)", "each patch is flattened"),
        ("timm_positions", "the forward of TimmLike, before norm1 (LayerNorm)", "pos_embed"),
        ("escnn_inverse", "1 (RegularConvolution)", "in the order of the inverse elements"),
        ("escnn_another_order", "2 (RegularConvolution)", "in another order than that of"),
        ("own_folded_inner", "layer (Conv2d)", "frames, whose kernel is not turned"),
        ("own_folded_outer", "layer (Conv2d)", "frames, whose kernel is not turned"),
        ("own_volume", "layer (Conv3d)", "frames, whose kernel is not turned"),
        ("own_values_of_frames", OWN, "it uses own, which has a value for each frame"),
        ("own_values_of_positions", OWN, "it uses own, which has a value for each position"),
        ("escnn_one_hot", "0 (RegularConvolution)", ""),
    ],
)
def test_the_first_layer_that_breaks_is_named_with_its_cause(name, layer, cause):
    report = checked(name)
    assert not report.equivariant
    assert report.broken == layer, str(report)
    assert cause in " ".join(report.causes)
    if cause:
        assert report.causes


def test_initial_weights_that_hide_a_broken_forward_leave_it_undecided(noise):
    class Shuffled(nn.Module):
        def __init__(self):
            super().__init__()
            group = dihedral_group(4)
            self.lift = LiftingSelfAttention(group, 2, 8, num_heads=2, window=3)
            self.attention = GroupSelfAttention(group, 8, 8, 2, window=3)
            self.pool = GroupPool("mean")

        def forward(self, image):
            return self.pool(self.attention(self.lift(image).roll(1, 2))).mean((-2, -1))

    torch.manual_seed(0)
    network, image = Shuffled(), noise(2, 2, 8, 8)
    report = check_equivariance(network, image)
    assert report.broken is None
    assert not report.decided and not report.equivariant
    assert "not decided whether the output transforms under D4" in str(report)
    assert check_equivariance(network, image, tolerance=SINGLE).equivariant
    report = check_equivariance(randomised(network), image)
    assert report.decided and not report.equivariant


@pytest.mark.parametrize("tolerance", [None, SINGLE])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_an_offset_of_all_logits_hides_no_broken_network(offset, tolerance, noise):
    head = nn.Linear(4, 5).double()
    head.bias.data += offset
    broken = nn.Conv2d(1, 4, 3, padding=1).double()
    symmetric = nn.Conv2d(1, 4, 1).double()
    for convolution, fits in ((broken, False), (symmetric, True)):
        pooled = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        network = nn.Sequential(convolution, *pooled, head)
        report = check_equivariance(network, noise(4, 1, 8, 8), "C4", tolerance=tolerance)
        assert report.decided
        assert report.equivariant == fits
        assert (report.layers[-1].error > 0.1) != fits


def test_what_was_made_symmetric_in_single_precision_is_undecided_unless_told():
    assert not checked("torch_invariant", tolerance=None).decided
    assert checked("torch_invariant").decided


@pytest.mark.parametrize("group", ["C4", "D4"])
@pytest.mark.parametrize("side", [5, 8, 16])
def test_a_map_is_no_score_where_no_layer_has_so_many_tokens(group, side):
    torch.manual_seed(2)
    module = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(2, 7, 2), nn.ReLU())
    report = check_equivariance(module, torch.rand(2, 2, side, side), group)
    assert {row.transforms for row in report.layers} == {"image"}, str(report)


def test_scores_of_pairs_of_tokens_are_known_by_the_tokens(noise):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.project, self.norm, self.softmax = (
                nn.Conv2d(2, 4, 1),
                nn.LayerNorm(4),
                nn.Softmax(-1),
            )

        def forward(self, image):
            tokens = self.norm(self.project(image).flatten(2).transpose(1, 2))
            return (self.softmax((tokens @ tokens.mT)[:, None])[:, 0] @ tokens).mean(1)

    report = check_equivariance(Attention(), noise(2, 2, 4, 4), "C4")
    ways = {row.name: row.transforms for row in report.layers}
    assert ways["softmax"] == "scores of pairs of tokens"


@pytest.mark.parametrize("group", ["C4", "D4", "C8"])
@pytest.mark.parametrize(
    "options",
    [{"tokens": "stem"}, {"tokens": "patch"}, {"tokens": "pixel", "positional": "absolute"}],
)
def test_networks_of_this_library_are_equivariant_in_every_layer(group, options, noise):
    model = build_model(group=group, channels=4, image_size=8, in_channels=2, **options)
    report = check_equivariance(randomised(model), noise(2, 2, 8, 8), group)
    assert report.equivariant
    assert report.broken is None


@pytest.mark.parametrize(("group", "tested"), [("D8", "8 of 16"), ("D5", "2 of 10")])
def test_the_verdict_names_the_elements_that_were_tested(group, tested, noise, capsys):
    model = randomised(build_model(group="D4", channels=4, image_size=8, in_channels=2))
    verdict = (
        f"transforms under the {tested} elements of {group} that keep the pixel grid; the others "
        "were not tested\n"
    )
    assert verdict in f"{check_equivariance(model, noise(2, 2, 8, 8), group)}\n"
    asked = ["check_networks:torch_invariant", "--group", group, "--input", "1,2,8,8"]
    main([*asked, "--tolerance", "1e-6"])
    assert verdict in capsys.readouterr().out


def test_a_larger_group_is_found_broken_and_a_pooled_orbit_is_not(noise):
    model = randomised(build_model(group="C4", channels=4, image_size=8))
    assert not check_equivariance(model, noise(1, 1, 8, 8), "D4").equivariant
    pooled = randomised(build_model("symmetrized", channels=4, image_size=8))
    report = check_equivariance(pooled, noise(1, 1, 8, 8), "C4")
    assert report.equivariant
    assert max(row.error for row in report.layers) > 1e-3


@pytest.mark.parametrize("shape", [(6, 8), (9, 6)])
def test_images_that_are_not_square_are_turned_too(shape, noise):
    network = check_networks.torch_plain()[:2]
    report = check_equivariance(network, noise(1, 2, *shape), "D4", tolerance=SINGLE)
    assert report.equivariant


def test_the_module_is_left_as_it_was(noise):
    model = check_networks.torch_invariant().train()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    check_equivariance(model, noise(1, 2, 8, 8))
    assert model.training
    assert all(torch.equal(before[name], x) for name, x in model.state_dict().items())


@pytest.mark.parametrize(
    ("group", "shape", "message"),
    [
        ("C3", (1, 2, 8, 8), "group: got C3, of which no element but the identity"),
        ("C1", (1, 2, 8, 8), "group: got C1"),
        ("Q8", (1, 2, 8, 8), "group: got 'Q8'"),
        ("C4", (2, 8, 8), r"image: got \(2, 8, 8\); accepts images"),
    ],
)
def test_wrong_arguments_are_named(group, shape, message):
    with pytest.raises(ValueError, match=message):
        check_equivariance(nn.Identity(), torch.zeros(shape), group)


NOISE = torch.rand(1, 2, 8, 8)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 2, 8, 8), r"r90 of C4 does not change.*such as torch.rand\(1, 2, 8, 8\)"),
        (torch.full((1, 2, 8, 8), 0.5), "r90 of C4 does not change, which tests nothing"),
        (NOISE + NOISE.rot90(2, (2, 3)), "r180 of C4 does not change, which tests nothing"),
        (NOISE * float("nan"), r"NaN or infinite; accepts finite ones, such as torch.rand"),
        (torch.rand(1, 2, 3, 8, 8), r"3, 8, 8\).*feature maps \(batch, channels, 4, height"),
    ],
)
def test_an_image_that_tests_nothing_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        check_equivariance(nn.Conv2d(2, 4, 3), image, "C4")


def test_a_function_is_refused_in_a_sentence():
    with pytest.raises(TypeError, match="module: got a function; accepts a"):
        check_equivariance(lambda x: x, NOISE)


def test_an_output_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="output for this image has NaN or infinite values"):
        check_equivariance(nn.Sequential(nn.ReLU(), nn.Threshold(9.0, float("nan"))), NOISE)


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("escnn_invariant", 0, "the output transforms under C4"),
        ("torch_invariant", 3, "not decided whether the output transforms under C4"),
        ("torch_strided", 1, "breaks the symmetry under C4 first: 0 (Conv2d)"),
    ],
)
def test_the_command_prints_the_layers(name, code, text, capsys):
    found = main([f"check_networks:{name}", "--group", "C4", "--input", "1,2,8,8"])
    assert found == code
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("check_networks", [], "accepts module:factory"),
        ("no_such_module:f", [], "'no_such_module' cannot be imported (ModuleNotFoundError"),
        ("check_networks:nothing", [], "has no 'nothing'"),
        ("check_networks:number", [], "is a int; accepts a function"),
        ("check_networks:failing", [], "failed (RuntimeError: no weights here)"),
        ("check_networks:TimmLike", [], "failed (TypeError"),
        ("check_networks:a_tensor", [], "returned a Tensor; accepts a torch.nn.Module"),
        ("check_networks:torch_plain", ["--input", "2,3,64"], "--input: got '2,3,64'"),
        ("check_networks:torch_plain", ["--input", "1,3,8,8"], "the network failed on 1x3x8x8"),
        ("check_networks:torch_plain", ["--group", "E2"], "group: got 'E2'"),
    ],
)
def test_mistakes_end_in_one_sentence(network, options, message, capsys):
    assert main([network, "--input", "1,2,8,8", *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
