"""Memory and FLOP budgets: what is counted, and the widths that are solved for."""

from __future__ import annotations

import pytest
import torch

from gsa_core import build_model, count_activations, count_flops, solve_channels
from gsa_core.attention.backends.cpu import problem as kernel_problem


def activations(size, **options):
    model = build_model(image_size=size, channels=8, depth=2, **options)
    return count_activations(model, (1, size, size))


@pytest.mark.skipif(bool(kernel_problem("cpu", torch.float32, 4)), reason="no kernel")
@pytest.mark.parametrize(
    "options",
    [
        {"window": 3},
        {"window": 3, "form": "joint"},
        {"window": 3, "form": "published", "group": "C2"},
        {"window": 3, "group": "C8"},
        {"form": "joint"},
        {"form": "joint", "group": "C8"},
        {"positional": "rotary"},
        {"positional": "radial"},
        {"positional": "none", "form": "joint"},
    ],
    ids=str,
)
def test_memory_grows_with_pixels_not_with_their_square(options):
    """Four times the pixels; a tensor of queries times keys would grow sixteenfold."""
    small, large = (activations(size, tokens="pixel", **options) for size in (12, 24))
    assert large < 1.15 * 4 * small


def test_scores_written_out_are_counted():
    """Two heads, four frames, 144^2 weights each: most of what is kept."""
    model = build_model(tokens="pixel", image_size=12, depth=1, positional="rotary")
    fused = count_activations(model, (1, 12, 12))
    for module in model.modules():
        if hasattr(module, "method"):
            module.method = "written_out"
    assert count_activations(model, (1, 12, 12)) - fused > 0.8 * (4 * 2 * 144**2 * 4)


def test_counting_leaves_the_network_as_it_was():
    model = build_model(image_size=8).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count_activations(model, (1, 8, 8))
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("model", ["gsa", "gcnn", "hybrid", "staged", "staged_gcnn"])
def test_channels_are_solved_for_flops(model):
    arguments = {"model": model, "group": "C4", "image_size": 8}
    if "gcnn" not in model:
        arguments["num_heads"] = 1
    channels = solve_channels(2_000_000, of="flops", **arguments)
    distance = [
        abs(count_flops(build_model(channels=c, **arguments), (1, 8, 8)) - 2_000_000)
        for c in (channels - 1, channels, channels + 1)
    ]
    assert distance[1] == min(distance)
    with pytest.raises(ValueError, match="of: got 'seconds'"):
        solve_channels(1000, of="seconds", **arguments)
