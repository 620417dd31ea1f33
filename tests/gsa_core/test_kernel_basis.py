"""Kernels in a steerable basis: exact on the grid, better off it; turned kernels that are kept."""

from __future__ import annotations

import copy

import pytest
import torch
from cases import GROUPS, randomised
from torch import nn

from gsa_core import (
    GroupConv2d,
    LiftingConv2d,
    assert_equivariant,
    build_model,
    equivariance_error,
    point_group,
)
from gsa_core.common.saved_properties import IdentityError
from gsa_core.nn import kernel_basis
from gsa_core.nn.kernel_basis import KERNEL_BASES, kernel_sampling

KINDS = (LiftingConv2d, GroupConv2d)


def layer_and_input(kind, name, size, noise, basis="gaussian", sides=(7, 8)):
    group = point_group(name)
    frames = (group.order,) if kind is GroupConv2d else ()
    layer = kind(group, 2, 3, size, bias=False, basis=basis)
    return randomised(layer), noise(2, 2, *frames, *sides), group


@pytest.mark.parametrize("size", [1, 5, 7])
@pytest.mark.parametrize("name", [*GROUPS, "C16", "D3"])
@pytest.mark.parametrize("kind", KINDS)
def test_equivariant_to_rounding(kind, name, size, noise):
    layer, features, group = layer_and_input(kind, name, size, noise)
    assert_equivariant(layer, features, group)


@pytest.mark.parametrize("basis", KERNEL_BASES)
@pytest.mark.parametrize("size", [3, 7, 9])
@pytest.mark.parametrize("name", ["C4", "C8", "D4", "D8"])
def test_quarter_turns_and_mirrors_of_a_kernel_permute_its_pixels(name, size, basis):
    """The kernel of h is the kernel of the identity, turned by `rot90` and `flip`."""
    group = point_group(name)
    sampling = kernel_sampling(group, size, basis)
    weight = torch.randn(sampling.shape[2], dtype=torch.float64)
    kernels = (sampling @ weight).unflatten(1, (size, size))
    for element in filter(group.is_exact, range(group.order)):
        rotation = element % group.rotations * 4 // group.rotations
        moved = kernels[0].flip(-1) if element >= group.rotations else kernels[0]
        expected = torch.rot90(moved, rotation, (-2, -1))
        assert torch.allclose(kernels[element], expected, rtol=0, atol=1e-8 * size)
        assert (kernels[element] - expected).norm() <= 1e-12 * kernels[0].norm()


def test_control_a_sampling_of_other_functions_for_each_element_fails(noise):
    layer, features, group = layer_and_input(LiftingConv2d, "C4", 5, noise)
    layer.sampling = layer.sampling[:, :, torch.randperm(layer.sampling.shape[2])].roll(1, 0)
    layer.sampling[1] = layer.sampling[0]
    assert equivariance_error(layer, features, group, 1) > 0.1


@pytest.mark.parametrize("size", [3, 5, 7, 9])
@pytest.mark.parametrize("angle", [1, 2, 3])
def test_error_between_the_grid_is_a_fifth_of_bilinear_turning(size, angle):
    """Response at the centre to waves that turn with the kernel, of 4 to 12 pixels."""
    from benchmarks.kernels import response_error

    gaussian, bilinear = (response_error(basis, size)[angle] for basis in KERNEL_BASES[::-1])
    assert 0 < gaussian < bilinear / 5


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_another_basis_are_refused_and_those_of_pixels_are_as_before(kind):
    pixels, rings = (kind(point_group("C4"), 2, 3, 3, basis=basis) for basis in KERNEL_BASES)
    for one, other in ((pixels, rings), (rings, pixels)):
        with pytest.raises(IdentityError, match="basis"):
            one.load_state_dict(other.state_dict())
    assert "basis" not in pixels.identity()
    with pytest.raises(ValueError, match="basis: got 'wavelet'; accepts"):
        kind(point_group("C4"), 2, 3, 3, basis="wavelet")


@pytest.mark.parametrize("basis", KERNEL_BASES)
@pytest.mark.parametrize("model", ["staged", "staged_gcnn"])
def test_a_staged_network_takes_them(model, basis, noise):
    options = {"group": "C8", "channels": 4, "image_size": 8, "kernel_size": 7, "basis": basis}
    network = randomised(build_model(model, **options))
    turned = network(torch.rot90(images := noise(2, 1, 8, 8), 1, (-2, -1)))
    assert torch.allclose(turned, network(images), rtol=0, atol=1e-10)
    assert [s.kernel_size for s in network.modules() if isinstance(s, KINDS)] == [7, 5, 5, 5]
    assert network.config["basis"] == basis


def changes():
    """What changes weights, by name; the last two leave torch's version counter as it was."""

    def load(layer, other):
        layer.load_state_dict(other.state_dict())

    def data(layer, other):
        layer.weight.data.copy_(other.weight)

    def replaced(layer, other):
        layer.weight = nn.Parameter(other.weight.detach().clone())

    def pointed(layer, other):
        layer.weight.data = other.weight.detach().clone()

    return [load, data, replaced, pointed]


@pytest.mark.parametrize("change", changes())
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("kind", KINDS)
def test_kept_kernels_are_those_of_the_weights(kind, mode, change, noise):
    layer, features, group = layer_and_input(kind, "C8", 3, noise, "bilinear")
    other = randomised(kind(group, 2, 3, 3, bias=False), seed=1)
    with mode():
        layer(features)
        before = other(features)
        change(layer, other)
        assert torch.equal(layer(features), before)
        assert torch.allclose(layer.float()(features.float()), before.float(), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_are_turned_once_in_evaluation_and_at_every_step_of_training(kind, noise):
    layer, features, _ = layer_and_input(kind, "C4", 3, noise)
    turns, turn = [], layer.expanded
    layer.expanded = lambda: turns.append(1) or turn()
    with torch.no_grad():
        kept = [layer(features) for _ in range(3)]
    assert len(turns) == 1
    learned = layer(features)
    learned.sum().backward()
    assert torch.equal(learned, kept[2])
    assert layer.weight.grad is not None
    with torch.no_grad():
        layer.train()(features)
    assert len(turns) == 3


def test_a_copy_has_kernels_of_its_own_and_a_layer_that_is_gone_leaves_none(noise):
    layer, features, _ = layer_and_input(GroupConv2d, "C4", 3, noise)
    with torch.no_grad():
        before, twin = layer(features), copy.deepcopy(layer)
        twin.weight.mul_(2)
        assert torch.allclose(twin(features), 2 * before)
        assert torch.equal(layer(features), before)
    count = len(kernel_basis.kept_kernels)
    del twin
    assert len(kernel_basis.kept_kernels) == count - 1
