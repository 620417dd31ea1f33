"""Turns by 45 degrees, on analytic fields: approximate, and how nearly, as the docs say."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def error_at_45_degrees(root, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(root / "benchmarks"), *sys.path])
    from hierarchy import error_at_45_degrees, network

    def measure(group, positional, shape):
        options = {"positional": positional, "window_shape": shape}
        if positional != "rotary":
            options["encoding"] = "continuous"
        return error_at_45_degrees(network(group, **options), group)

    return measure


@pytest.mark.sampled(2)
@pytest.mark.parametrize("positional", ["relative", "radial", "rotary"])
@pytest.mark.parametrize("group", ["C8", "D8"])
def test_a_soft_disc_is_within_two_percent(group, positional, error_at_45_degrees):
    assert error_at_45_degrees(group, positional, "soft_disc") < 0.02


@pytest.mark.parametrize(
    ("group", "positional", "shape"), [("C8", "rotary", "square"), ("C4", "rotary", "soft_disc")]
)
def test_control_a_square_or_a_coarser_group_is_not(group, positional, shape, error_at_45_degrees):
    assert error_at_45_degrees(group, positional, shape) > 0.05
