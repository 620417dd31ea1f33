"""Weights say what network they are of: others are refused in one sentence, nothing loaded."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from gsa_core import (
    GroupConv2d,
    GroupLinear,
    GroupPool,
    GroupSelfAttention,
    LiftingConv2d,
    LiftingSelfAttention,
    PatchEmbedding,
    Stem,
    Symmetrized,
    build_model,
    point_group,
)
from gsa_core.attention.encodings.registry import POSITIONAL
from gsa_core.models.published import PUBLISHED, PublishedNetwork

C4, D2 = point_group("C4"), point_group("D2")


def attention(group="C4", heads=2, form="joint", **options):
    return GroupSelfAttention(point_group(group), 8, 8, heads, form=form, **options)


def lifting(group="C4", **options):
    return LiftingSelfAttention(point_group(group), 3, 8, 2, **options)


def network(model="gsa", **options):
    options = {"group": "C4", "image_size": 8, "channels": 8, "depth": 1, **options}
    if model == "gsa":
        options = {"tokens": "patch", **options}
    return build_model(model, **options)


def published(plan, **options):
    options = {"in_channels": 1, "num_classes": 3, "image_size": (24, 24), "window": 3, **options}
    return PublishedNetwork(C4, PUBLISHED[plan], **options)


SIZED = {"none": {}, "absolute": {"image_size": 8}}
# Two layers whose weights have the same names and shapes, and what is said of them.
PAIRS = {
    **{
        f"group of {positional}": (
            lambda p=positional: attention("C4", positional=p, **SIZED.get(p, {"window": 3})),
            lambda p=positional: attention("D2", positional=p, **SIZED.get(p, {"window": 3})),
            "the weights are of group C4, this layer has D2",
        )
        for positional in POSITIONAL
    },
    "group of lifting": (
        lambda: lifting("C4", window=3), lambda: lifting("D2", window=3), "group C4",
    ),
    "heads": (
        lambda: attention(heads=2, window=3), lambda: attention(heads=4, window=3),
        "head_dim 4 and num_heads 2, this layer has 2 and 4",
    ),
    "form": (
        lambda: attention(form="joint", window=3), lambda: attention(form="published", window=3),
        "form joint, this layer has published",
    ),
    "lifting and group": (
        lambda: lifting(positional="none"),
        lambda: GroupSelfAttention(C4, 3, 8, 2, positional="none"),
        "form lifting, this layer has joint",
    ),
    "window": (
        lambda: attention(positional="rotary", window=3),
        lambda: attention(positional="rotary", window=5),
        "window 3, this layer has 5",
    ),
    "window and none": (
        lambda: attention(positional="none", window=3), lambda: attention(positional="none"),
        "window 3 and window_shape square, this layer has none and none",
    ),
    "window shape": (
        lambda: attention(window=3), lambda: attention(window=3, window_shape="disc"),
        "window_shape square, this layer has disc",
    ),
    "image size of a function": (
        lambda: attention(encoding="continuous", image_size=8),
        lambda: attention(encoding="continuous", image_size=9),
        "reach 7, this layer has 8",
    ),
    "image size of radial": (
        lambda: attention(positional="radial", image_size=8),
        lambda: attention(positional="radial", image_size=12),
        "reach 7, this layer has 11",
    ),
    "image size of published offsets": (
        lambda: attention(encoding="published", head_dim=6, image_size=8),
        lambda: attention(encoding="published", head_dim=6, image_size=9),
        "reach 7, this layer has 8",
    ),
    "image size of absolute": (
        lambda: attention(positional="absolute", encoding="continuous", image_size=8),
        lambda: attention(positional="absolute", encoding="continuous", image_size=9),
        "absolute (AbsoluteEncoding): the weights are of image_size [8, 8]",
    ),
    "positional": (
        lambda: attention(positional="rotary", form="framewise", window=3),
        lambda: attention(positional="none", form="framewise", window=3),
        "positional rotary",
    ),
    "linear": (lambda: GroupLinear(C4, 3, 2), lambda: GroupLinear(D2, 3, 2), "group C4"),
    "lifting convolution": (
        lambda: LiftingConv2d(C4, 1, 2, 3), lambda: LiftingConv2d(D2, 1, 2, 3), "group C4",
    ),
    "group convolution": (
        lambda: GroupConv2d(C4, 1, 2, 3), lambda: GroupConv2d(D2, 1, 2, 3), "group C4",
    ),
    "patches": (
        lambda: PatchEmbedding(C4, 1, 2, 4), lambda: PatchEmbedding(D2, 1, 2, 4), "group C4",
    ),
    "patches and convolution": (
        lambda: PatchEmbedding(C4, 1, 2, 3), lambda: LiftingConv2d(C4, 1, 2, 3),
        "layer PatchEmbedding, this layer has LiftingConv2d",
    ),
    "pooling": (
        lambda: GroupPool("mean"), lambda: GroupPool("max"),
        "reduction mean, this layer has max",
    ),
    "stem": (lambda: Stem(C4, 1, 4), lambda: Stem(D2, 1, 4), "group C4"),
    "orbit": (
        lambda: network("symmetrized", reduction="mean"),
        lambda: network("symmetrized", reduction="max"),
        "reduction mean, this layer has max",
    ),
    "symmetrized group": (
        lambda: Symmetrized(nn.Linear(2, 2), C4), lambda: Symmetrized(nn.Linear(2, 2), D2),
        "group C4, this layer has D2",
    ),
    "published heads and form": (
        lambda: published("published_rotmnist"),
        lambda: published("published_rotmnist", form="joint"),
        "form published, this layer has joint",
    ),
    "network": (network, lambda: network(group="D2"), "group C4, this layer has D2"),
    "staged network": (
        lambda: network("staged"), lambda: network("staged", group="D2"), "group C4",
    ),
    "staged network of other heads": (
        lambda: network("staged"), lambda: network("staged", num_heads=2), "num_heads 4",
    ),
    "stages": (
        lambda: build_model("staged_gcnn", channels=2),
        lambda: build_model("staged_gcnn", channels=2, group="D2"), "group C4",
    ),
    "convolutional network": (
        lambda: network("gcnn"), lambda: network("gcnn", group="D2"), "group C4",
    ),
}  # fmt: skip
ways = pytest.mark.parametrize(
    "options", [{}, {"strict": False}, {"assign": True}, {"strict": False, "assign": True}], ids=str
)


@pytest.mark.sampled(64)
@ways
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("case", PAIRS)
def test_weights_of_another_layer_are_refused(case, nested, options):
    """In one sentence, by a layer alone or in a module of somebody else's; nothing is loaded."""
    first, second, sentence = PAIRS[case]
    source, target = first(), second()
    if nested:
        source, target = (nn.ModuleDict({"mine": nn.Sequential(x)}) for x in (source, target))
    before = copy.deepcopy(target.state_dict())
    with pytest.raises((ValueError, RuntimeError)) as error:
        target.load_state_dict(source.state_dict(), **options)
    said = str(error.value)
    assert sentence in said
    assert "\n" not in said
    assert ("mine.0" in said) == nested
    after = target.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.sampled(40)
@ways
@pytest.mark.parametrize("case", PAIRS)
def test_weights_of_the_same_layer_are_loaded(case, options):
    first, _, _ = PAIRS[case]
    source, target = first(), first()
    target.load_state_dict(source.state_dict(), **options)
    assert all(
        torch.equal(x, y) for x, y in zip(source.parameters(), target.parameters(), strict=True)
    )


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("build", [network, lambda: network("gcnn"), lambda: attention(window=3)])
def test_weights_without_an_identity_are_refused(build, strict):
    """Those of earlier versions, and of parameters alone."""
    model = build()
    with pytest.raises(ValueError, match="do not say what layer they are of"):
        model.load_state_dict(dict(model.named_parameters()), strict=strict)


def test_a_damaged_identity_is_refused():
    layer = GroupLinear(C4, 3, 2)
    state = layer.state_dict()
    state["_extra_state"] = state["_extra_state"][:-1]
    with pytest.raises(ValueError, match="is damaged"):
        layer.load_state_dict(state)


def test_what_does_not_change_the_function_may_differ():
    """Dropout, the way of computing, and the image size that a window or rotation does not see."""
    network().load_state_dict(network(dropout=0.3, attention_dropout=0.2).state_dict())
    attention(window=3, method="torch").load_state_dict(attention(window=3).state_dict())
    rotary = attention(positional="rotary", image_size=8)
    attention(positional="rotary", image_size=20).load_state_dict(rotary.state_dict())
    small = network(tokens="pixel", window=3, depth=2)
    network(tokens="pixel", window=3, depth=2, image_size=20).load_state_dict(small.state_dict())
    network("hybrid").load_state_dict(network(tokens="trunk").state_dict())


def test_a_backbone_is_loaded_under_another_head():
    source, target = network(num_classes=10), network(num_classes=3)
    state = {n: x for n, x in source.state_dict().items() if not n.startswith("head.classify")}
    found = target.load_state_dict(state, strict=False)
    assert found.missing_keys == ["head.classify.weight", "head.classify.bias"]
    assert torch.equal(target.tokens.weight, source.tokens.weight)
    head = {n: x for n, x in source.state_dict().items() if n.startswith("head.classify")}
    network().load_state_dict(head, strict=False)
    target.blocks[0].load_state_dict(source.blocks[0].state_dict())


@pytest.mark.parametrize("cast", [nn.Module.half, nn.Module.double, nn.Module.bfloat16])
def test_casts_leave_the_identity_alone(cast):
    model = cast(network())
    state = model.state_dict()
    assert torch.equal(state["tokens._extra_state"], network().state_dict()["tokens._extra_state"])
    network().load_state_dict(state)
    network().load_state_dict({name: x.half() for name, x in state.items()})


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.9999])
@pytest.mark.parametrize("model", ["gsa", "gcnn"])
def test_averages_over_buffers_leave_the_network_what_it_is(model, decay):
    """Indices and bytes among buffers would be rounded down."""
    torch.manual_seed(0)
    network_, images = network(model).eval(), torch.randn(2, 1, 8, 8)
    averaged = AveragedModel(network_, use_buffers=True, avg_fn=get_ema_avg_fn(decay))
    for _ in range(8):
        averaged.update_parameters(network_)
    assert torch.allclose(averaged(images), network_(images), rtol=1e-4, atol=1e-5)
    network(model).load_state_dict(averaged.module.state_dict())


def test_averages_of_state_dicts_are_loaded():
    """A mean over the states of two networks, every tensor of them."""
    states = [network().state_dict() for _ in range(3)]
    mean = {name: sum(s[name].double() for s in states) / 3 for name in states[0]}
    network().load_state_dict(mean)


def test_states_hold_tensors_alone_and_round_trip():
    model = network()
    state = load(save(model.state_dict()))
    assert all(isinstance(x, torch.Tensor) for x in model.state_dict().values())
    network().load_state_dict(state)
    copied = copy.deepcopy(model)
    copied.load_state_dict(state)


def test_mean_and_std_travel_with_the_weights():
    images = torch.randn(2, 1, 8, 8)
    source, target = network(mean=0.3, std=0.5).eval(), network().eval()
    target.load_state_dict(source.state_dict())
    assert torch.equal(source(images), target(images))
    wide = network(in_channels=3, mean=[0.1, 0.2, 0.3])
    network(in_channels=3).load_state_dict(wide.state_dict())


def test_a_state_is_called_with_functionally():
    model, images = network().eval(), torch.randn(2, 1, 8, 8)
    assert torch.equal(torch.func.functional_call(model, model.state_dict(), images), model(images))
