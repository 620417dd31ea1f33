"""Whole networks: invariant where they promise it, and the hierarchy of encodings."""

from __future__ import annotations

import pytest
import torch
from cases import EXACT_GROUPS, GROUPS, randomised
from torch import nn
from torch.nn import functional

from gsa_core import (
    act_on_image,
    assert_equivariant,
    build_model,
    count_flops,
    count_parameters,
    invariance_error,
    layer_errors,
    point_group,
    shift_image,
    solve_channels,
)

SMALL = {"channels": 6, "image_size": 8, "num_heads": 2}


def network(seed=0, **arguments):
    return randomised(build_model(**{**SMALL, **arguments}), seed)


KINDS = (("stem", "framewise", 7), ("stem", "framewise", 8), ("pixel", "joint", 5))
ENCODINGS = ("none", "absolute", "relative")


@pytest.mark.parametrize(
    ("name", "kind", "positional"),
    # Every pair of a group, a kind of network and an encoding.
    [
        (name, kind, ENCODINGS[(i + j) % 3])
        for i, name in enumerate(GROUPS)
        for j, kind in enumerate(KINDS)
    ],
)
def test_logits_are_invariant_and_layers_equivariant(name, kind, positional, noise):
    tokens, form, size = kind
    model = network(group=name, tokens=tokens, form=form, positional=positional, image_size=size)
    images, group = noise(2, 1, size, size), point_group(name)
    assert_equivariant(model, images, group)
    errors = layer_errors(model.layers(), images, group, group.exact_elements)
    assert max(errors.values()) <= 1e-12


@pytest.mark.parametrize("positional", ["absolute", "relative"])
def test_control_networks_see_what_is_outside_their_group(positional, noise):
    images = noise(4, 1, 8, 8)
    square = point_group("D4")
    for name in EXACT_GROUPS:
        model, group = network(group=name, positional=positional), point_group(name)
        own = {tuple(m.flatten().tolist()) for m in group.matrices}
        for element in range(1, 8):
            inside = tuple(square.matrices[element].flatten().tolist()) in own
            error = invariance_error(model(images), model(act_on_image(square, element, images)))
            assert (error < 1e-12) == inside
            assert inside or error > 1e-3


def test_none_is_unmoved_by_any_permutation_of_pixels(noise):
    for name in ("C1", "C4", "D4"):
        model = network(group=name, tokens="pixel", positional="none")
        images = noise(3, 1, 8, 8)
        shuffled = images.flatten(2)[..., torch.randperm(64)].reshape(images.shape)
        assert invariance_error(model(images), model(shuffled)) < 1e-12


def test_encodings_see_permutations(noise):
    for positional in ("absolute", "relative"):
        model = network(group="C4", tokens="pixel", positional=positional)
        images = noise(3, 1, 8, 8)
        shuffled = images.flatten(2)[..., torch.randperm(64)].reshape(images.shape)
        assert invariance_error(model(images), model(shuffled)) > 1e-3


@pytest.mark.parametrize(("positional", "symmetric"), [("relative", True), ("absolute", False)])
@pytest.mark.parametrize("name", ["C1", "C4", "D4"])
def test_relative_adds_translations(name, positional, symmetric, noise):
    """With 3x3 windows and margins wider than all windows together."""
    model = network(
        group=name, tokens="pixel", positional=positional, window=3, image_size=16, form="joint"
    )
    images = functional.pad(noise(3, 1, 4, 4), (6, 6, 6, 6))
    error = invariance_error(model(images), model(shift_image(images, 2, -1)))
    assert error < 1e-12 if symmetric else error > 1e-3


def test_absolute_with_the_trivial_group_has_no_symmetry(noise):
    model, images = network(group="C1", tokens="pixel", positional="absolute"), noise(3, 1, 8, 8)
    moved = [act_on_image(point_group("D4"), s, images) for s in range(1, 8)]
    moved += [shift_image(images, 1, 0), shift_image(images, 0, 1)]
    assert min(invariance_error(model(images), model(x)) for x in moved) > 1e-3


class PlainTransformer(nn.Module):
    """A pre-norm vision transformer on pixels, written with torch's own parts."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image):
        model = self.model
        x = image.flatten(2).transpose(1, 2) @ model.tokens.linear.weight.T
        x = x + model.tokens.linear.bias
        x = x + model.position.encoding.table.flatten(1).T
        for block in model.blocks:
            attention = block.attention
            weight = attention.query_key_value.weight.flatten(0, -2)
            normed = block.norm_attention.norm(x)
            query, key, value = functional.linear(normed, weight).chunk(3, -1)
            query, key, value = (
                y.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
                for y in (query + attention.query_bias, key, value)
            )
            y = functional.scaled_dot_product_attention(query, key, value)
            y = y.transpose(1, 2).flatten(2)
            x = x + functional.linear(
                y, attention.output.weight.flatten(0, -2), attention.output.bias
            )
            feedforward = block.feedforward
            hidden = functional.gelu(feedforward.expand(block.norm_feedforward.norm(x)))
            x = x + feedforward.contract(hidden)
        return model.head.classify(model.head.norm.norm(x).mean(1))


@pytest.mark.parametrize("form", ["joint", "framewise"])
def test_the_trivial_group_with_absolute_is_a_plain_transformer(form, noise):
    model = network(group="C1", tokens="pixel", positional="absolute", form=form, depth=3)
    images = noise(2, 1, 8, 8)
    assert torch.allclose(model(images), PlainTransformer(model)(images), rtol=0, atol=1e-11)


def test_the_same_seed_builds_the_same_network():
    def weights():
        torch.manual_seed(5)
        return build_model(**SMALL).state_dict()

    first, second = weights(), weights()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_standardisation_is_part_of_the_network(noise):
    plain = network()
    scaled = network(mean=0.2, std=[0.5])
    images = noise(2, 1, 8, 8)
    assert torch.allclose(scaled(images), plain((images - 0.2) / 0.5), rtol=1e-5)
    with pytest.raises(ValueError, match=r"mean: got 2 values; accepts 1 or in_channels \(1\)"):
        build_model(mean=[0.1, 0.2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "gas"}, "model: got 'gas'"),
        ({"tokens": "patches"}, "tokens: got 'patches'"),
        ({"group": "E4"}, "group: got 'E4'"),
        ({"depth": 0}, "depth: got 0"),
        ({"positional": "learned"}, "positional: got 'learned'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model(**{**SMALL, **arguments})


@pytest.mark.parametrize("name", ["C1", "C4", "D4"])
def test_channels_are_solved_for_a_budget(name):
    arguments = {"group": name, "image_size": 8}
    before = torch.random.get_rng_state()
    channels = solve_channels(20_000, **arguments)
    assert torch.equal(before, torch.random.get_rng_state())
    sizes = [
        abs(count_parameters(build_model(channels=c, **arguments)) - 20_000)
        for c in (channels - 1, channels, channels + 1)
    ]
    assert sizes[1] == min(sizes)
    with pytest.raises(ValueError, match="but 1 channels already take"):
        solve_channels(10, **arguments)


def test_flops_count_attention():
    """Quadrupling the pixels takes 16 times the score products, and 4 times all else."""
    options = {"group": "C1", "tokens": "pixel", "positional": "none", "depth": 1, "channels": 8}

    def flops(size):
        return count_flops(build_model(**options, image_size=size), (1, size, size))

    pixels, width = 64, 8
    attention = 2 * 2 * pixels**2 * width  # q k^T and the weighted sum, two a multiply-add
    assert flops(16) - 4 * flops(8) == pytest.approx((16 - 4) * attention, rel=0.01)


@pytest.mark.parametrize("size", [(7, 7), (8, 6), (6, 6)])
@pytest.mark.parametrize(
    "options",
    [{}, {"positional": "rotary"}, {"encoding": "continuous"}, {"model": "staged", "num_heads": 1}],
    ids=str,
)
def test_smaller_images_than_those_built_for_are_exact(options, size, noise):
    model = network(group="D4", **options)
    assert_equivariant(model, noise(2, 1, *size), point_group("D4"))


@pytest.mark.parametrize(
    ("options", "size"),  # the first size has as many tokens as the one that it was built for
    [
        ({}, 7),
        ({"tokens": "patch", "patch_size": 4}, 6),
        ({"model": "staged", "num_heads": 1}, 6),
        ({"model": "vit", "patch_size": 4}, 6),
        ({"model": "symmetrized", "patch_size": 4}, 6),
        ({"model": "canonical"}, 7),
        ({"encoding": "continuous"}, 4),
    ],
    ids=str,
)
def test_networks_of_absolute_positions_accept_one_size(options, size, noise):
    model = network(positional="absolute", **options)
    model(noise(1, 1, 8, 8))
    with pytest.raises(ValueError, match=f"image: got {size}x{size} pixels; .* accepts 8x8"):
        model(noise(1, 1, size, size))


def test_tables_of_offsets_say_which_images_are_too_large(noise):
    with pytest.raises(ValueError, match=r"image: got a side of 5 tokens; .* accepts up to 4 "):
        network()(noise(1, 1, 9, 9))


@pytest.mark.parametrize("size", [4, 12])
def test_published_networks_say_which_images_their_crops_leave_nothing_of(size, noise):
    model = build_model("published_rotmnist", image_size=28, window=3)
    with pytest.raises(ValueError, match=r"image: got a feature map of .* accepts larger images"):
        model(noise(1, 1, size, size).float())


@pytest.mark.parametrize("model", ["gsa", "gcnn", "canonical", "symmetrized"])
@pytest.mark.parametrize(
    ("of_image", "of_network"),
    [(torch.float64, torch.float32), (torch.float32, torch.bfloat16)],
)
def test_an_image_of_a_wider_type_than_the_network_is_refused(model, of_image, of_network):
    network = build_model(model, group="C4", image_size=8, channels=4).to(of_network)
    with pytest.raises(ValueError, match=f"got {of_image} with a network of {of_network}; accepts"):
        network(torch.rand(1, 1, 8, 8, dtype=of_image))


def test_autocast_takes_an_image_of_a_wider_type():
    network = build_model(group="C4", image_size=8, channels=4).to(torch.bfloat16).eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.rand(1, 1, 8, 8)).isfinite().all()
