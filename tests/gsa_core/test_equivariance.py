"""The measures themselves, on functions whose error is known."""

from __future__ import annotations

import pytest
import torch

from gsa_core import (
    act_on_image,
    assert_equivariant,
    cyclic_group,
    equivariance_error,
    full_turn,
    invariance_error,
    layer_errors,
    prediction_consistency,
    rotate_image,
    shift_image,
)
from gsa_core.equivariance import logit_spread


def test_error_of_known_functions(noise):
    group, x = cyclic_group(4), noise(2, 1, 5, 5)
    assert equivariance_error(torch.sin, x, group, 1) == 0

    def off(x):  # a constant image beside the identity: known error
        image = torch.zeros_like(x)
        image[..., 0, 0] = 3.0
        return image

    # a corner moved to another corner: |3 - 0|, |0 - 3| over |3|
    assert equivariance_error(off, x, group, 1) == pytest.approx(2**0.5)


def test_assertion_names_the_element(noise):
    with pytest.raises(AssertionError, match=r"under r90 of C4: relative error"):
        assert_equivariant(lambda x: x.cumsum(-1), noise(1, 1, 4, 4), cyclic_group(4))
    with pytest.raises(AssertionError, match="nan"):
        assert_equivariant(lambda x: x * float("nan"), noise(1, 1, 4, 4), cyclic_group(4))


def test_a_group_may_be_named(noise):
    x, group = noise(1, 1, 4, 4), cyclic_group(4)
    assert_equivariant(torch.sin, x, "D4")
    with pytest.raises(ValueError, match="group: got 'E4'"):
        assert_equivariant(torch.sin, x, "E4")
    layers = {"bad": lambda y: y.cumsum(-1)}
    assert layer_errors(layers, x, "C4", [1]) == layer_errors(layers, x, group, [1])
    assert equivariance_error(torch.sin, x, "C4", 1) == 0


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(1, 1, 4, 4), "x: got one that r90 of C4 does not change, which tests nothing"),
        (torch.zeros(1, 1, 4, 4, 4), "x: got one that r90 of C4 does not change"),
        (torch.full((1, 1, 4, 4), float("nan")), "x: got values that are NaN or infinite"),
    ],
)
def test_an_input_that_tests_nothing_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        assert_equivariant(lambda y: y, x, "C4")


def test_layer_errors_judge_each_layer_alone(noise):
    group = cyclic_group(4)
    layers = {"good": torch.sin, "bad": lambda x: x.cumsum(-1), "after": torch.cos}
    errors = layer_errors(layers, noise(1, 1, 4, 4), group, [1, 2])
    assert errors["good", 1] == 0 and errors["after", 2] == 0
    assert errors["bad", 1] > 0.1 and set(errors) == {(n, s) for n in layers for s in (1, 2)}


def test_invariance_error_by_hand():
    logits = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    moved = logits + torch.tensor([0.0, 1.0])
    # moved by 1 each; pairs are 5, 0, 5 apart
    assert invariance_error(logits, moved) == pytest.approx(1 / (10 / 3))
    assert logit_spread(logits) == pytest.approx(10 / 3)
    assert prediction_consistency(logits, moved) == pytest.approx(1 / 3)


def test_a_common_offset_does_not_hide_a_broken_network():
    logits = torch.randn(20, 5) + 1e6
    moved = logits.flip(0)
    assert invariance_error(logits, moved) > 0.5


def test_the_spread_needs_two_images():
    with pytest.raises(ValueError, match="accepts 2 or more"):
        invariance_error(torch.zeros(1, 3), torch.zeros(1, 3))


@pytest.mark.parametrize("size", [(5, 5), (6, 6), (6, 9)])
@pytest.mark.parametrize("quarters", [-1, 0, 1, 2, 3, 4])
def test_turns_by_right_angles_are_exact(size, quarters, noise):
    x = noise(2, 3, *size)
    assert torch.equal(rotate_image(x, 90 * quarters), torch.rot90(x, quarters, (-2, -1)))


@pytest.mark.parametrize("size", [5, 6])
def test_interpolated_turns_have_the_same_sense(size, noise):
    x = noise(3, 1, size, size)
    angles = torch.tensor([90.0, 180.0, 270.0])
    for i, turned in enumerate(rotate_image(x, angles)):
        expected = torch.rot90(x[i], i + 1, (-2, -1))
        assert torch.allclose(turned, expected, rtol=0, atol=1e-12)


def test_a_turn_there_and_back_keeps_a_smooth_image():
    axis = torch.linspace(-3, 3, 33, dtype=torch.float64)
    blob = torch.exp(-((axis[:, None] - 0.5) ** 2) - axis[None, :] ** 2)[None, None]
    back = rotate_image(rotate_image(blob, 37.0), -37.0)
    assert (back - blob).abs().max() < 0.05 < (rotate_image(blob, 37.0) - blob).abs().max()


@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-3, 0), (0, 4)])
def test_shifts_move_content(shift):
    image = torch.zeros(1, 9, 9)
    image[0, 4, 4] = 1
    moved = shift_image(image, *shift)
    assert moved.shape == image.shape and moved[0, 4 + shift[0], 4 + shift[1]] == 1
    assert moved.sum() == 1


@pytest.mark.parametrize("outside", [0.0, 1.0, 0.25, -2.0, "edge"])
@pytest.mark.parametrize("degrees", [45.0, -10.0, torch.tensor([90.0, 200.0])])
def test_what_turns_bring_in_from_outside(outside, degrees, noise):
    image = noise(2, 1, 6, 9)
    value = 0.5 if outside == "edge" else outside
    wide = torch.full((2, 1, 30, 33), value, dtype=image.dtype)
    wide[..., 12:18, 12:21] = image
    if outside == "edge":
        wide = torch.nn.functional.pad(image, (12,) * 4, mode="replicate")
    expected = rotate_image(wide, degrees)[..., 12:18, 12:21]
    found = rotate_image(image, degrees, outside)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert outside == 0 or (rotate_image(image, degrees) - found).abs().max() > 0.1


@pytest.mark.parametrize("outside", [0.0, 0.25, "edge"])
@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-3, 0), (0, 4)])
def test_what_shifts_bring_in_from_outside(outside, shift, noise):
    image = noise(2, 3, 5, 6)
    how = {"mode": "replicate"} if outside == "edge" else {"value": outside}
    wide = torch.nn.functional.pad(image, (4, 4, 4, 4), **how)
    rows, cols = shift
    expected = wide[..., 4 - rows : 9 - rows, 4 - cols : 10 - cols]
    assert torch.equal(shift_image(image, rows, cols, outside), expected)


def test_a_mirror_is_not_a_turn(noise):
    x = noise(1, 1, 4, 4)
    mirrored = x.flip(-1)
    assert all(not torch.equal(act_on_image(cyclic_group(4), s, x), mirrored) for s in range(4))


def test_a_full_turn_by_hand():
    """Two images, one with its light at the centre, one with it in a corner."""
    images = torch.zeros(2, 1, 3, 3)
    images[0, 0, 1, 1] = images[1, 0, 0, 0] = 1.0

    def corner_and_centre(x):
        return torch.stack([x[:, 0, 0, 0], x[:, 0, 1, 1]], 1)

    rows = full_turn(corner_and_centre, images, steps=4)
    assert [row["degrees"] for row in rows] == [0, 90, 180, 270]
    assert (rows[0]["invariance_error"], rows[0]["consistency"]) == (0, 1)
    for row in rows[1:]:  # the corner leaves: moved by (0, 1), the logits being sqrt 2 apart
        assert row["invariance_error"] == pytest.approx(0.5 / 2**0.5)
        assert row["consistency"] == 1  # of logits 0, 0 the first counts as the larger
