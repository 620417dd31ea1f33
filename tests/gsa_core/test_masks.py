"""Masks, context, normed queries, and the weights of attention."""

from __future__ import annotations

import pytest
import torch
from cases import randomised, sized

from gsa_core import (
    Block,
    GroupSelfAttention,
    LiftingSelfAttention,
    act_on_features,
    act_on_image,
    build_model,
    point_group,
)

FORMS = ["lifting", "joint", "framewise", "published"]
OPTIONS = {
    "window": {"window": 3},
    "soft": {"window": 5, "window_shape": "soft_disc"},
    "global": {},
    "rotary": {"positional": "rotary"},
    "absolute": {"positional": "absolute"},
    "none": {"positional": "none", "qk_norm": True},
}


def layer_of(form, name, size=6, **options):
    options = sized(options, size)
    if form == "lifting":
        layer = LiftingSelfAttention(point_group(name), 3, 4, 2, **options)
    else:
        layer = GroupSelfAttention(point_group(name), 3, 4, 2, form=form, **options)
    return randomised(layer)


def input_of(form, name, noise, size=6):
    return noise(2, 3, *([] if form == "lifting" else [point_group(name).order]), size, size)


def distance(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def act(group, s, x):
    return act_on_features(group, s, x) if x.ndim == 5 else act_on_image(group, s, x)


def act_on_mask(group, s, mask):
    return act_on_image(group, s, mask.double()).bool()


@pytest.fixture
def mask():
    """A corner and a hole of one image, most of another."""
    mask = torch.ones(2, 6, 6, dtype=torch.bool)
    mask[0, :2, 3:] = mask[0, 4, 4] = mask[1, 3:] = mask[1, :, :2] = False
    return mask


@pytest.mark.sampled(8)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("form", FORMS)
def test_a_layer_is_equivariant_with_a_mask_that_moves_with_the_image(form, options, noise, mask):
    group = point_group("D4")
    layer, x = layer_of(form, "D4", **options), input_of(form, "D4", noise)
    y = layer(x, mask)
    for s in range(1, group.order):
        moved = layer(act(group, s, x), act_on_mask(group, s, mask))
        assert distance(moved, act(group, s, y)) <= 1e-12
    still = layer(act(group, 1, x), mask)  # the control: a mask that stays
    assert (still - act(group, 1, y)).norm() > 1e-3 * y.norm()


@pytest.mark.sampled(8)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_masked_changes_nothing_and_an_empty_mask_neither(form, options, noise, mask):
    layer, x = layer_of(form, "C4", **options), input_of(form, "C4", noise)
    spread = mask[:, None, None] if x.ndim == 5 else mask[:, None]
    y, other = layer(x, mask), layer(torch.where(spread, x, 100 * torch.ones_like(x)), mask)
    assert distance(y, other) <= 1e-12
    assert not y.masked_select(~mask[:, None, None]).any()
    every = layer(x, torch.ones_like(mask))
    assert distance(every, layer(x)) <= 1e-12


@pytest.mark.parametrize("options", [OPTIONS["window"], OPTIONS["global"], OPTIONS["rotary"]])
@pytest.mark.parametrize("form", FORMS)
def test_an_image_in_a_larger_masked_one_gives_what_it_gives_alone(form, options, noise):
    layer, x = layer_of(form, "C4", **options), input_of(form, "C4", noise)
    small, mask = x[..., 1:5, 2:5], torch.zeros(2, 6, 6, dtype=torch.bool)
    mask[:, 1:5, 2:5] = True
    inside, alone = layer(x, mask)[..., 1:5, 2:5], layer(small)
    assert distance(inside, alone) <= 1e-12


@pytest.mark.sampled(8)
@pytest.mark.parametrize("method", ["kernel", "torch", "written_out", "flex"])
@pytest.mark.parametrize("options", [OPTIONS["window"], OPTIONS["rotary"]])
@pytest.mark.parametrize("form", ["lifting", "joint", "framewise"])
def test_methods_agree_on_masks_or_refuse_by_name(form, options, method, noise, mask):
    layer, x = layer_of(form, "C4", **options), input_of(form, "C4", noise)
    layer.method = "written_out"
    expected = layer(x, mask)
    layer.method = method
    try:
        found = layer(x, mask)
    except ValueError as error:
        assert f"method: got {method!r}" in str(error)
        return
    assert distance(found, expected) <= 1e-11


@pytest.mark.parametrize("method", ["kernel", "written_out", "torch"])
def test_gradients_do_not_reach_what_is_masked(method, noise, mask):
    layer, x = layer_of("joint", "C4", window=3, method=method), input_of("joint", "C4", noise)
    x.requires_grad_()
    layer(x, mask).square().sum().backward()
    assert not x.grad.masked_select(~mask[:, None, None]).any()
    assert x.grad.masked_select(mask[:, None, None]).all()


@pytest.mark.sampled(8)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("form", FORMS)
def test_weights_are_those_of_the_result_and_turn_with_the_image(form, options, noise, mask):
    group = point_group("C4")
    layer, x = layer_of(form, "C4", **options), input_of(form, "C4", noise)
    y, weights = layer(x, mask, return_attention=True)
    assert distance(y, layer(x, mask)) <= 1e-12
    members = 4 if form in ("joint", "published") else 1
    assert weights.shape == (2, 2, 4, 6, 6, members, 6, 6)
    expected = (4.0 if form == "published" else 1.0) * mask[:, None, None].double()
    assert distance(weights.sum((-3, -2, -1)), expected.expand(2, 2, 4, 6, 6)) <= 1e-12
    assert not weights.masked_select(~mask[:, None, None, None, None, None]).any()
    _, moved = layer(act(group, 1, x), act_on_mask(group, 1, mask), return_attention=True)
    turned = act_on_features(group, 1, weights.movedim((2, 3, 4), (-3, -2, -1)))
    turned = turned.movedim((-3, -2, -1), (2, 3, 4))
    keys = act_on_features if members == 4 else act_on_image
    assert distance(moved, keys(group, 1, turned)) <= 1e-12


@pytest.mark.parametrize("name", ["C4", "D4"])
@pytest.mark.parametrize("options", [OPTIONS["window"], OPTIONS["global"], OPTIONS["absolute"]])
def test_cross_attention_is_equivariant_in_both(name, options, noise):
    group = point_group(name)
    layer = layer_of("joint", name, **options)
    x, context = input_of("joint", name, noise), input_of("joint", name, noise)
    y = layer(x, context=context)
    assert distance(layer(x, context=x), layer(x)) <= 1e-12
    for s in range(1, group.order):
        moved = layer(act(group, s, x), context=act(group, s, context))
        assert distance(moved, act(group, s, y)) <= 1e-12
    still = distance(layer(act(group, 1, x), context=context), act(group, 1, y))
    # without offsets of positions, turning all keys of global attention changes their order alone
    assert (still > 1e-3) == ("positional" not in options)


@pytest.mark.parametrize(
    ("form", "arguments", "message"),
    [
        ("joint", {"mask": torch.ones(2, 6, 6)}, "mask: got .* of torch.float32; accepts"),
        ("joint", {"mask": torch.ones(2, 6, 5, dtype=torch.bool)}, "mask: got"),
        ("joint", {"context": torch.ones(2, 3, 4, 5, 5).double()}, "context: got"),
        ("framewise", {"context": torch.ones(2, 3, 4, 6, 6).double()}, "accepts it with form"),
    ],
)
def test_wrong_masks_and_contexts_are_named(form, arguments, message, noise):
    with pytest.raises((ValueError, TypeError), match=message):
        layer_of(form, "C4", window=3)(input_of(form, "C4", noise), **arguments)


def test_normed_queries_and_keys_do_not_know_the_scale_of_their_maps(noise):
    layer, x = layer_of("joint", "C4", window=3, qk_norm=True), input_of("joint", "C4", noise)
    plain = layer_of("joint", "C4", window=3)
    for changes, module, wide in ((False, layer, 1e4), (True, plain, 1)):
        with torch.no_grad():
            module.query_bias.zero_()
            module.query_key_value.weight[:8] *= wide
            _, before = module(x, return_attention=True)
            module.query_key_value.weight[:8] *= 10
            _, after = module(x, return_attention=True)
        assert ((before - after).abs().max() > 1e-3) == changes


MODELS = {
    "pixel": {"tokens": "pixel", "form": "joint"},
    "patch": {"tokens": "patch", "patch_size": 2},
    "window": {"tokens": "pixel", "window": 3},
    "absolute": {"tokens": "patch", "patch_size": 2, "positional": "absolute"},
}


def model_of(group, options, size=8):
    return randomised(build_model(group=group, channels=4, num_heads=2, image_size=size, **options))


@pytest.fixture
def image_mask():
    mask = torch.ones(2, 8, 8, dtype=torch.bool)
    mask[0, :4, 6:] = mask[0, 4:6] = mask[1, :, :2] = False
    return mask


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("name", ["C4", "D4"])
def test_a_network_is_invariant_with_a_mask_that_moves(name, options, noise, image_mask):
    group, model, images = point_group(name), model_of(name, options), noise(2, 1, 8, 8)
    logits = model(images, image_mask)
    for s in range(1, group.order):
        moved = model(act(group, s, images), act_on_mask(group, s, image_mask))
        assert distance(moved, logits) <= 1e-11
    assert distance(model(act(group, 1, images), image_mask), logits) > 1e-4
    other = torch.where(image_mask[:, None], images, torch.full_like(images, torch.nan))
    assert distance(model(other, image_mask), logits) <= 1e-11
    assert distance(model(images, torch.ones_like(image_mask)), model(images)) <= 1e-11


@pytest.mark.parametrize("options", [MODELS[name] for name in ("pixel", "patch", "window")])
def test_images_of_two_sizes_in_a_batch_give_what_each_gives_alone(options, noise):
    model, small, large = model_of("C4", options), noise(1, 1, 4, 6), noise(1, 1, 8, 8)
    images, mask = torch.zeros(2, 1, 8, 8).double(), torch.ones(2, 8, 8, dtype=torch.bool)
    images[0, :, :4, 2:], images[1] = small[0], large[0]
    mask[0] = False
    mask[0, :4, 2:] = True
    logits = model(images, mask)
    assert distance(logits[:1], model(small)) <= 1e-11
    assert distance(logits[1:], model(large)) <= 1e-11


def test_symmetrized_networks_move_the_mask(noise, image_mask):
    model = randomised(build_model("symmetrized", channels=4, num_heads=2, image_size=8))
    group, images = model.group, noise(2, 1, 8, 8)
    moved = model(act(group, 1, images), act_on_mask(group, 1, image_mask))
    assert distance(moved, model(images, image_mask)) <= 1e-11


@pytest.mark.parametrize(
    ("model", "options"),
    [("gsa", {"tokens": "stem"}), ("hybrid", {}), ("gcnn", {}), ("staged_gcnn", {})],
)
def test_networks_of_convolutions_refuse_masks_by_name(model, options, image_mask):
    network = build_model(model, image_size=8, **options)
    with pytest.raises(ValueError, match=r"has convolutions.* with tokens='patch' or 'pixel'"):
        network(torch.zeros(2, 1, 8, 8), image_mask)


def test_an_image_that_is_masked_whole_is_named(image_mask):
    image_mask[1] = False
    with pytest.raises(ValueError, match="mask: got one that hides all of an image"):
        model_of("C4", MODELS["pixel"])(torch.zeros(2, 1, 8, 8).double(), image_mask)


@pytest.mark.parametrize("probability", [0.5, 0.25])
def test_stochastic_depth_drops_whole_branches_of_images(probability, noise):
    group = point_group("C4")
    attention = GroupSelfAttention(group, 4, 4, 2, form="framewise", window=3)
    block, x = randomised(Block(attention, 4, drop_path=probability)), noise(400, 4, 4, 1, 1)
    whole = block(x)
    torch.manual_seed(0)
    block.train()
    kept = [(y != 0).any().item() for y in block(x) - x]
    share = sum(kept) / 400
    assert abs(share - (1 - probability**2)) < 0.08  # either branch of two
    assert torch.equal(block.eval()(x), whole)
    with pytest.raises(ValueError, match="drop_path: got 1"):
        Block(attention, 4, drop_path=1)
