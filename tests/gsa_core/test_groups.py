"""Group axioms, the axis convention, and the actions, exhaustively."""

from __future__ import annotations

import pytest
import torch

from gsa_core import (
    act_on_features,
    act_on_image,
    cyclic_group,
    dihedral_group,
    point_group,
)
from gsa_core.groups import act

ALL = [f"{kind}{n}" for kind in "CD" for n in (1, 2, 3, 4, 5, 6, 8, 12, 16)]


@pytest.mark.parametrize("name", ALL)
def test_axioms(name):
    group = point_group(name)
    product, everyone = group.product, torch.arange(group.order)
    assert torch.equal(product[0], everyone) and torch.equal(product[:, 0], everyone)
    assert not product[everyone, group.inverse].any()
    # (i j) k == i (j k) for all triples
    assert torch.equal(product[product], product[:, product])
    for row in product:
        assert sorted(row.tolist()) == everyone.tolist()


@pytest.mark.parametrize("name", ALL)
def test_matrices_multiply_as_the_table_says(name):
    group = point_group(name)
    products = group.matrices[:, None] @ group.matrices[None, :]
    assert torch.allclose(products, group.matrices[group.product], rtol=0, atol=1e-14)
    mirrored = torch.arange(group.order) >= group.rotations
    determinants = torch.where(mirrored, -1.0, 1.0).double()
    assert torch.allclose(group.matrices.det(), determinants, rtol=0, atol=1e-14)


def test_order_and_names():
    assert (cyclic_group(6).order, dihedral_group(6).order) == (6, 12)
    assert (cyclic_group(6).name, dihedral_group(4).name) == ("C6", "D4")
    d4 = dihedral_group(4)
    names = [d4.element_name(i) for i in range(8)]
    assert names == ["e", "r90", "r180", "r270", "m", "r90m", "r180m", "r270m"]


def test_dihedral_group_is_not_abelian():
    product = dihedral_group(4).product
    assert not torch.equal(product, product.T)


@pytest.mark.parametrize("name", ["C4", "C8", "C16", "D4", "D8"])
def test_elements_a_quarter_turn_apart_have_the_same_digits(name):
    """What keeps quarter turns exact in float32: entries agree to the last bit."""
    group = point_group(name)
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    step = group.rotations // 4
    for k in range(group.rotations):
        turned = group.matrices[(k + step) % group.rotations]
        assert torch.equal(turned, quarter @ group.matrices[k])


@pytest.mark.parametrize("size", [(5, 5), (6, 6), (4, 7)])
def test_axis_convention(size):
    """A quarter turn is torch.rot90 over (-2, -1), the mirror torch.flip over -1."""
    image = torch.randn(2, 3, *size)
    group = dihedral_group(4)
    assert torch.equal(act_on_image(group, 1, image), torch.rot90(image, 1, (-2, -1)))
    assert torch.equal(act_on_image(group, 4, image), torch.flip(image, (-1,)))
    both = torch.rot90(torch.flip(image, (-1,)), 3, (-2, -1))
    assert torch.equal(act_on_image(group, 7, image), both)


@pytest.mark.parametrize("name", ["C4", "D2", "D4", "D8"])
@pytest.mark.parametrize("size", [5, 6])
def test_action_moves_pixels_as_the_matrices_say(name, size):
    """``(L_s f)(p) = f(s^-1 p)`` with positions from the centre, read off the matrices."""
    group = point_group(name)
    image = torch.arange(size * size, dtype=torch.float64).reshape(size, size)
    centre = (size - 1) / 2
    for element in group.exact_elements:
        acted = act_on_image(group, element, image)
        back = group.matrices[group.inverse[element]]
        for row in range(size):
            for col in range(size):
                p = torch.tensor([row - centre, col - centre], dtype=torch.float64)
                source = (back @ p + centre).round().long()
                assert acted[row, col] == image[source[0], source[1]]


@pytest.mark.parametrize("name", ["C1", "C2", "C4", "D1", "D2", "D4", "C8", "D8"])
@pytest.mark.parametrize("size", [(5, 5), (3, 4)])
def test_actions_are_left_actions(name, size):
    group = point_group(name)
    image, features = torch.randn(2, *size), torch.randn(2, group.order, *size)
    for g in group.exact_elements:
        for h in group.exact_elements:
            gh = int(group.product[g, h])
            assert torch.equal(
                act_on_image(group, g, act_on_image(group, h, image)),
                act_on_image(group, gh, image),
            )
            assert torch.equal(
                act_on_features(group, g, act_on_features(group, h, features)),
                act_on_features(group, gh, features),
            )


def test_a_rotation_shifts_the_frames_cyclically():
    features = torch.arange(4.0).reshape(1, 4, 1, 1)
    shifted = act_on_features(cyclic_group(4), 1, features)
    assert torch.equal(shifted.flatten(), torch.roll(features.flatten(), 1))


def test_an_element_off_the_grid_is_refused():
    with pytest.raises(ValueError, match=r"r45 of C8.*accepts \[0, 2, 4, 6\]"):
        act_on_image(cyclic_group(8), 1, torch.zeros(3, 3))
    assert not cyclic_group(8).is_exact(1) and cyclic_group(8).is_exact(2)
    assert dihedral_group(8).is_exact(8) and not dihedral_group(8).is_exact(9)
    assert cyclic_group(3).exact_elements == (0,)


@pytest.mark.parametrize("name", ["C0", "E4", "c4", "C", "C-1", "C04", "C4 ", "D1000", ""])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match="accepts C<n> or D<n>"):
        point_group(name)


@pytest.mark.parametrize("n", [0, -1])
def test_an_order_below_one_is_refused(n):
    with pytest.raises(ValueError, match="accepts an integer >= 1"):
        cyclic_group(n)


@pytest.mark.parametrize("n", [2.0, "4", True])
def test_an_order_that_is_no_integer_is_refused(n):
    with pytest.raises(TypeError):
        cyclic_group(n)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"accepts \(\.\.\., 4, height"):
        act_on_features(cyclic_group(4), 1, torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match="3 axes"):
        act(cyclic_group(4), 1, torch.zeros(4, 2, 2))
    with pytest.raises(ValueError, match="elements 0 to 3"):
        act_on_image(cyclic_group(4), 4, torch.zeros(2, 2))


TABLES = ("product", "inverse", "matrices", "relative")


@pytest.mark.parametrize("table", TABLES)
def test_a_groups_tables_are_copies(table):
    """Groups are shared: what one user does to a table is not seen by another."""
    group = point_group("C7")
    before = getattr(group, table).clone()
    getattr(group, table).mul_(0)
    assert torch.equal(getattr(point_group("C7"), table), before)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", ["C20", "D11"])
def test_tables_made_in_inference_mode_are_good_for_training(name, table):
    with torch.inference_mode():
        point_group(name)
    assert not getattr(point_group(name), table).is_inference()


def test_tables_are_made_on_the_cpu_in_their_type_whatever_the_default():
    with torch.device("meta"):
        group = point_group("D13")
        assert group.matrices.device.type == group.product.device.type == "cpu"
    assert group.matrices.dtype == torch.float64
