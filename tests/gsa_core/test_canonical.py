"""Learned canonicalisation: invariant wherever one score is best, and trained end to end."""

from __future__ import annotations

import pytest
import torch
from cases import EXACT_GROUPS, randomised
from torch.nn import functional

from gsa_core import (
    act_on_image,
    assert_equivariant,
    build_model,
    count_flops,
    invariance_error,
    point_group,
)
from gsa_core.models.canonical import Canonicaliser

TIE = 1e-9  # a margin below it is a tie, in float64


def network(group="C4", size=12, **options):
    options = {"channels": 8, "image_size": size, **options}
    return randomised(build_model("canonical", group=group, **options))


@pytest.mark.sampled(8)
@pytest.mark.parametrize("size", [9, 12])
@pytest.mark.parametrize("options", [{}, {"tokens": "patch", "patch_size": 3}], ids=str)
@pytest.mark.parametrize("name", EXACT_GROUPS)
def test_invariant_wherever_the_best_score_has_a_margin(name, options, size, noise):
    group, images = point_group(name), noise(16, 1, size, size)
    model = network(name, size, **options)
    ties = model.margin(images) < TIE
    assert ties.sum() == 0  # of noise no two scores are alike
    for element in range(group.order):
        moved = act_on_image(group, element, images)
        assert (model(moved) - model(images)).abs().max() <= 1e-12 * model(images).abs().max()


@pytest.mark.parametrize("name", ["C4", "D4", "C8", "D8"])
def test_scores_move_with_the_image(name, noise):
    group, images = point_group(name), noise(3, 2, 10, 10)
    scorer = randomised(Canonicaliser(group, 2, 4))
    for element in group.exact_elements:
        moved = scorer.scores(act_on_image(group, element, images))
        expected = scorer.scores(images)[:, group.relative[element]]
        assert torch.allclose(moved, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["C8", "D8", "C12"])
def test_quarter_turns_are_exact_in_groups_off_the_grid(name, noise):
    """45 degrees after 90 resamples as 135 does."""
    images = noise(8, 1, 12, 12)
    model = network(name)
    assert (model.margin(images) > TIE).all()
    assert_equivariant(model, images, point_group(name), tolerance=1e-10)


def test_ties_are_counted_and_harmless_where_the_image_has_the_symmetry(noise):
    """Half turns leave these images as they are: two elements score the same, and agree."""
    group = point_group("C4")
    images = noise(6, 1, 12, 12)
    images[:4] = images[:4] + images[:4].flip(2, 3)
    model = network()
    assert (model.margin(images) < TIE).tolist() == [True] * 4 + [False] * 2
    for element in range(group.order):
        assert invariance_error(model(images), model(act_on_image(group, element, images))) < 1e-12


def test_scores_within_rounding_are_ties_in_the_precision_of_the_network(noise):
    """Between two images that are turned by different elements lies one that no score decides."""
    model = network()
    images = noise(40, 1, 12, 12)
    chosen = model.canonicalise.scores(model.standardise(images)).argmax(1)
    one, two = images[:1], images[(chosen != chosen[0]).nonzero()[0]]
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        scores = model.canonicalise.scores(model.standardise(one + middle * (two - one)))
        low, high = (middle, high) if scores.argmax(1) == chosen[0] else (low, middle)
    between = one + low * (two - one)
    for dtype in (torch.float64, torch.float32):
        found = model.to(dtype).ties(torch.cat([images, between]).to(dtype))
        assert found.tolist() == [False] * 40 + [True]
    assert not network("C1").ties(between).any()


def scorer_and_images(seed):
    """A scorer of C4 as it is built, and images of noise, in float32."""
    torch.manual_seed(seed)
    options = {"group": "C4", "channels": 8, "image_size": 8, "depth": 1, "num_classes": 3}
    model = build_model("canonical", **options).requires_grad_(False)
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return model.canonicalise, model.standardise(images)


@pytest.mark.parametrize("seed", [0, 9, 54, 58])
def test_margins_far_above_what_rounding_does_to_scores_are_no_ties(seed):
    scorer, images = scorer_and_images(seed)
    scores = scorer.scores(images)
    turned = scorer.scores(torch.rot90(images, 1, (2, 3)))
    rounding = (turned - scores[:, scorer.group.relative[1]]).abs().max()
    clear = scorer.margin(images) > 30 * rounding
    assert clear.sum() >= 5 and not scorer.ties(images)[clear].any()


@pytest.mark.parametrize("seed", range(4))
def test_scores_that_cancel_to_rounding_alone_are_ties(seed):
    """The terms of a score say what rounding does to it, not the score that is left of them."""
    scorer, images = scorer_and_images(seed)
    images = sum(torch.rot90(images, turn, (2, 3)) for turn in range(4))  # four elements tie
    for image in images.split(1):
        scorer.score.bias -= scorer.scores(image).mean()
        assert scorer.ties(image).all()


def test_control_scores_that_are_all_the_same_promise_nothing(noise):
    """Every image is a tie: the first element is taken, and the plain network sees the turn."""
    model, images = network(), noise(6, 1, 12, 12)
    torch.nn.init.zeros_(model.canonicalise.score.weight)
    assert (model.margin(images) < TIE).all()
    moved = act_on_image(point_group("C4"), 1, images)
    assert invariance_error(model(images), model(moved)) > 0.1


def test_control_scores_without_equivariance_are_not_invariant(noise):
    """One kernel of the lifting convolution that does not turn, and nothing holds."""
    model, images = network(), noise(16, 1, 12, 12)
    model.canonicalise.lift.sampling[:] = model.canonicalise.lift.sampling[0]
    moved = act_on_image(point_group("C4"), 1, images)
    assert invariance_error(model(images), model(moved)) > 0.1


def test_a_forward_pass_in_training_is_that_of_evaluation(noise):
    images = noise(5, 1, 12, 12)
    turn = randomised(Canonicaliser(point_group("D4"), 1, 4))
    assert torch.equal(turn.train()(images), turn.eval()(images))


def test_gradients_reach_the_scorer_in_training_alone(noise):
    model = network()
    scorer = model.canonicalise
    for training in (True, False):
        model.zero_grad()
        functional.cross_entropy(
            model.train(training)(noise(8, 1, 12, 12)), torch.arange(8)
        ).backward()
        found = [p.grad is not None and bool(p.grad.abs().max() > 0) for p in scorer.parameters()]
        # A shift of all scores changes nothing: the last bias has no gradient but rounding.
        assert all(found[:-1]) == training


def test_the_gradient_is_that_of_the_softmax_of_the_scores(noise):
    """By hand: the loss's gradient at the chosen image, times every turned image."""
    group, image = point_group("C4"), noise(1, 1, 9, 9)
    turn = randomised(Canonicaliser(group, 1, 4)).train()
    weight = noise(1, 1, 9, 9)
    (weight * turn(image)).sum().backward()
    found = turn.score.weight.grad.clone()
    turn.zero_grad()
    turned = [act_on_image(group, int(group.inverse[h]), image) for h in range(4)]
    by_element = torch.stack([(weight * x).sum() for x in turned])
    (turn.scores(image).softmax(1) @ by_element).sum().backward()
    assert torch.allclose(found, turn.score.weight.grad, rtol=1e-10)


def test_it_learns_to_turn_images_back():
    """One bright side says how an image lies; its answer is which of two dots lies beside it."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    labels = torch.randint(2, (64,), generator=generator)
    images = 0.1 * torch.rand(64, 1, 8, 8, generator=generator)
    images[:, :, 0] += 1
    images[torch.arange(64), 0, 4, 1 + 5 * labels] += 1
    turns = torch.randint(4, (64,), generator=generator).tolist()
    images = torch.stack([torch.rot90(x, k, (1, 2)) for x, k in zip(images, turns, strict=True)])
    model = build_model("canonical", image_size=8, channels=8, num_classes=2, depth=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    assert (model.eval()(images).argmax(1) == labels).float().mean() > 0.95


def test_one_pass_and_a_small_scorer():
    options = {"image_size": 12, "channels": 32, "tokens": "stem", "positional": "absolute"}
    plain, pooled, turned = (
        count_flops(build_model(model, **options, group=group), (1, 12, 12))
        for model, group in (("gsa", "C1"), ("symmetrized", "C4"), ("canonical", "C4"))
    )
    assert plain < turned < pooled
    assert pooled > 3 * plain


@pytest.mark.parametrize(
    ("group", "shape", "works"),
    [("C4", (8, 12), False), ("D2", (8, 12), True), ("C4", (8, 8), True)],
)
def test_images_that_quarter_turns_would_reshape_are_refused(group, shape, works, noise):
    model = network(group, shape)
    if works:
        assert model(noise(2, 1, *shape)).shape == (2, 10)
    else:
        with pytest.raises(ValueError, match="got 8x12 with C4, whose quarter turns swap"):
            model(noise(2, 1, *shape))


def test_layers_are_one_and_intermediates_those_of_the_chain(noise):
    model, images = network(), noise(2, 1, 12, 12)
    assert list(model.layers()) == ["network"]
    assert model.intermediate_names()[0] == "canonicalise"
    last, maps = model.forward_intermediates(images)
    assert torch.equal(model.forward_head(last), model(images))
    assert torch.equal(maps[0], model.canonicalise(model.standardise(images)))
