"""What every network has beside its logits: features, a head to replace, checkpointing."""

from __future__ import annotations

import copy

import pytest
import torch
from cases import randomised

from gsa_core import (
    Symmetrized,
    act_on_features,
    assert_equivariant,
    build_model,
    cyclic_group,
    equivariance_error,
    load,
    point_group,
)

SMALL = {"channels": 4, "num_heads": 2, "image_size": 8, "num_classes": 3}
STAGED = {"channels": 2, "image_size": 8, "num_classes": 3}
CASES = {
    "gsa": {"model": "gsa", "group": "D4", "tokens": "pixel", **SMALL},
    "gsa stem": {"model": "gsa", "group": "C4", "positional": "absolute", **SMALL},
    "hybrid": {"model": "hybrid", "group": "C4", **SMALL},
    "vit": {"model": "vit", **SMALL},
    "gcnn": {"model": "gcnn", "channels": 4, "image_size": 8, "num_classes": 3},
    "staged": {"model": "staged", "num_heads": 2, **STAGED},
    "staged_gcnn": {"model": "staged_gcnn", **STAGED},
    "symmetrized": {"model": "symmetrized", "group": "D4", **SMALL},
    "published": {
        "model": "published_rotmnist", "group": "C2", "image_size": 22, "window": 3,
        "num_classes": 3,
    },
}  # fmt: skip


@pytest.fixture(params=CASES)
def arguments(request):
    return CASES[request.param]


@pytest.fixture
def model(arguments):
    return randomised(build_model(**arguments))


@pytest.fixture
def images(arguments, noise):
    return noise(2, 1, arguments["image_size"], arguments["image_size"])


def test_a_network_is_its_features_and_its_head(model, images):
    features = model.forward_features(images)
    assert features.shape[:3] == (2, model.num_features, model.group.order)
    assert torch.allclose(model.forward_head(features), model(images), rtol=1e-10, atol=1e-12)
    invariant = model.forward_head(features, pre_logits=True)
    assert invariant.shape == (2, model.head_hidden_size)
    assert torch.equal(invariant, model.features(images))
    assert model(images).shape == (2, model.num_classes) == (2, 3)


def test_features_are_equivariant_and_those_before_logits_invariant(model, images):
    assert_equivariant(model.forward_features, images, model.group)
    assert_equivariant(model.features, images, model.group, [model.group.order - 1])
    for index in range(len(model.intermediate_names())):
        (found,) = model.forward_intermediates(images, [index], intermediates_only=True)
        assert found.ndim in (4, 5)
    if model.group.order == 1:
        assert equivariance_error(model.features, images, point_group("D4"), 1) > 1e-3


def test_intermediates_are_those_on_the_way_to_the_head(model, images):
    last, found = model.forward_intermediates(images)
    assert len(found) == len(model.intermediate_names())
    assert torch.equal(last, found[-1])
    assert torch.equal(last, model.forward_features(images))
    early, first = model.forward_intermediates(images, [0], stop_early=True)
    assert torch.equal(early, first[0])
    assert torch.equal(first[0], found[0])
    (only,) = model.forward_intermediates(images, 1, intermediates_only=True)
    assert torch.equal(only, last)
    lifted = [x for x in found if x.ndim == 5]
    for x, again in zip(
        lifted,
        model.forward_intermediates(
            images.rot90(2, (-2, -1)), len(lifted), intermediates_only=True
        ),
        strict=True,
    ):
        if "r180" in map(model.group.element_name, range(model.group.order)):
            turn = [model.group.element_name(s) for s in range(model.group.order)].index("r180")
            moved = act_on_features(model.group, turn, x)
            assert torch.allclose(again, moved, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("indices", [0, 99, [99], [], [True]])
def test_wrong_indices_are_named(indices):
    model = build_model(**CASES["gsa"])
    with pytest.raises(ValueError, match=r"indices: got .*; accepts 1 to 3, or a list of -3 to 2"):
        model.forward_intermediates(torch.zeros(1, 1, 8, 8), indices)


@pytest.mark.sampled(9)
@pytest.mark.parametrize("num_classes", [7, 0])
def test_a_new_head_has_its_classes_and_can_be_saved(model, images, num_classes, tmp_path):
    features = model.features(images)
    model.reset_classifier(num_classes)
    logits = model(images)
    assert model.num_classes == model.config["num_classes"] == num_classes
    assert logits.shape == (2, num_classes or model.head_hidden_size)
    assert logits.dtype == torch.float64
    assert_equivariant(model, images, model.group, [model.group.order - 1])
    assert torch.equal(model.features(images), features)
    model.save(tmp_path / "model.safetensors")
    assert torch.equal(load(tmp_path / "model.safetensors")(images), logits)


def test_a_new_head_does_not_excuse_other_changes():
    model = build_model(**CASES["gsa"])
    model.tokens.linear = torch.nn.Linear(1, 5)
    model.reset_classifier(2)
    with pytest.raises(ValueError, match=r"'tokens.linear.*is not what its config builds"):
        model.save("nowhere")
    with pytest.raises(ValueError, match="num_classes: got -1"):
        model.reset_classifier(-1)


def test_checkpointing_changes_neither_gradients_nor_statistics(arguments, images):
    options = {"dropout": 0.3} if "num_heads" in arguments else {}
    plain = randomised(build_model(**options, **arguments)).train()
    other = copy.deepcopy(plain)
    other.set_grad_checkpointing()
    for model in (plain, other):
        torch.manual_seed(3)
        for _ in range(2):
            model(images).square().sum().backward()
    for (name, one), two in zip(plain.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad), name
    for (name, one), two in zip(plain.named_buffers(), other.buffers(), strict=True):
        assert torch.equal(one, two), name


def test_checkpointing_keeps_fewer_tensors(images):
    """By the bytes that autograd keeps."""

    def kept(model):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x: sizes.append(x.numel()) or x, lambda x: x
        ):
            model.train()(torch.zeros(1, 1, 8, 8))
        return sum(sizes)

    model = build_model(**CASES["gsa"])
    before = kept(model)
    model.set_grad_checkpointing()
    assert kept(model) < before / 3
    model.set_grad_checkpointing(False)
    assert kept(model) == before


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"positional": "absolute"}, {"position.encoding.table"}),
        ({"positional": "none"}, set()),
        ({"positional": "rotary"}, {f"blocks.{i}.attention.rotary.frequencies" for i in (0, 1)}),
        ({"window": 3}, {f"blocks.{i}.attention.relative.table" for i in (0, 1)}),
    ],
)
def test_no_weight_decay_names_the_encodings(options, names):
    model = build_model(group="C4", **SMALL, **options)
    assert model.no_weight_decay() == names
    assert names <= {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    "text",
    ["group=D4, in_channels=4, out_channels=4, num_heads=2, form=framewise, positional=relative",
     "encoding=table", "group=D4, in_features=4, out_features=12, bias=", "reduction=mean"],
)  # fmt: skip
def test_a_printed_network_says_what_its_layers_are(text):
    assert text in repr(build_model(**CASES["gsa"]))


CONVOLUTIONS = {
    "gsa stem": "group=C4, in_channels=1, out_channels=4, kernel_size=3, bias=",
    "gcnn": "group=C4, in_channels=4, out_channels=4, kernel_size=3, bias=",
    "staged_gcnn": "group=C4, in_channels=1, out_channels=2, kernel_size=5, bias=False, basis=",
    "vit": "group=C1, in_channels=1, out_channels=4, kernel_size=4, bias=True, basis=bilinear",
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_printed_network_says_what_its_convolutions_are(name):
    assert CONVOLUTIONS[name] in repr(build_model(**CASES[name]))


@pytest.mark.parametrize("name", ["gsa", "gsa stem", "hybrid", "vit", "staged", "symmetrized"])
def test_branches_are_dropped_more_with_depth_and_queries_normed(name, tmp_path):
    options = {"depth": 3, "drop_path": 0.6, "qk_norm": True}
    model = build_model(**{**CASES[name], **options})
    blocks = (model if hasattr(model, "blocks") else model.network).blocks
    assert [block.drop_path for block in blocks] == pytest.approx([0.2, 0.4, 0.6])
    plain = build_model(**{**CASES[name], "depth": 3})
    assert set(plain.state_dict()) < set(model.state_dict())
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.config == model.config and again.config["drop_path"] == 0.6
    image = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(again(image), model.eval()(image))
    torch.manual_seed(0)
    assert not torch.equal(model.train()(image), model(image))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop_path": 1.0}, "drop_path: got 1.0; accepts a number 0 <= p < 1"),
        ({"drop_path": -0.1}, "drop_path: got -0.1"),
        ({"model": "gcnn", "drop_path": 0.1}, "which does not use it"),
        ({"model": "published_rotmnist", "qk_norm": True}, "which does not use it"),
    ],
)
def test_a_wrong_option_of_blocks_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_model(**options)


def test_features_of_a_network_without_frames_are_refused():
    network = Symmetrized(torch.nn.Flatten(), cyclic_group(4))
    with pytest.raises(ValueError, match="network: got a Flatten, whose features have no frame"):
        network.forward_features(torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("model", ["gsa", "hybrid", "gcnn", "vit", "staged", "canonical"])
def test_bytes_are_no_image(model):
    """They would be 255 times too bright."""
    network = build_model(model, image_size=8)
    image = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(Exception, match=r"torch\.uint8|u8\["):  # of --full: shapes are checked
        network(image)
