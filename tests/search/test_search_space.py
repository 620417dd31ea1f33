"""Cells, configurations, and proposals that depend on seed, cell and number alone."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import optuna
import pyarrow as pa
import pytest
from fake_study import FakeData, study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from pipeline.results.schemas import TRIALS
from pipeline.search.space import configuration, distributions, shape_of
from pipeline.study.cells import Cell, cells
from pipeline.study.hyperparameters import HYPERPARAMETERS
from pipeline.study.models import MODEL_KINDS, POSITIONAL, unused
from pipeline.study.schema import GENERATION, Params
from pipeline.sweep.proposals import Proposer

optuna.logging.set_verbosity(optuna.logging.WARNING)
SPACE = {
    "learning_rate": {"low": 0.001, "high": 0.01, "log": True},
    "dropout": {"low": 0.0, "high": 0.2, "step": 0.05},
    "channels": {"low": 8, "high": 32, "step": 8},
    "heads": {"choices": [2, 4]},
}


def searched() -> Params:
    params = study(search_space=SPACE)
    assert params.sweep.search_space.keys() == SPACE.keys()
    return params


def space_of(params: Params) -> dict[str, BaseDistribution]:
    """What is searched in the first cell."""
    return distributions(params.sweep.search_space, cells(params)[0])


def run_in_order(sampler: str, seed: int, count: int, parallel: int, shuffle: int) -> list[Any]:
    """Propose and finish trials with `parallel` of them running, finishing in any order."""
    proposer = Proposer(sampler, seed, "cell", space_of(searched()))
    draw, trials, running = random.Random(shuffle), [], []
    while len(trials) < count or running:
        needed = trials[: proposer.needed(len(trials))]
        ready = len(trials) < count and all(t.state.is_finished() for t in needed)
        if ready and len(running) < parallel:
            sampled = proposer.propose(len(trials), trials)
            running.append(len(trials))
            trials.append(trial_of(proposer, sampled, TrialState.RUNNING))
            continue
        number = running.pop(draw.randrange(len(running)))
        trials[number] = trial_of(proposer, trials[number].params, TrialState.COMPLETE)
    return [trial.params for trial in trials]


def trial_of(proposer: Proposer, params: dict[str, Any], state: TrialState) -> FrozenTrial:
    done = state == TrialState.COMPLETE
    value = params["learning_rate"] - params["dropout"] if done else None
    return create_trial(state=state, value=value, params=params, distributions=proposer.space)


@pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes"])
def test_the_same_seed_proposes_the_same_whatever_finishes_first(sampler: str) -> None:
    count = 2 * GENERATION + 3
    one_by_one = run_in_order(sampler, 0, count, parallel=1, shuffle=0)
    for parallel, shuffle in [(2, 1), (7, 2)]:
        assert run_in_order(sampler, 0, count, parallel, shuffle) == one_by_one
    assert run_in_order(sampler, 1, count, parallel=1, shuffle=0) != one_by_one


def test_no_proposal_comes_twice() -> None:
    proposals = [json.dumps(p) for p in run_in_order("tpe", 0, 30, parallel=2, shuffle=0)]
    assert len(set(proposals)) == 30


def test_cells_draw_differently() -> None:
    space = space_of(searched())
    one, other = (Proposer("random", 0, name, space).propose(0, []) for name in ("one", "other"))
    assert one != other


def test_distributions_do_not_follow_the_order_of_lines() -> None:
    space, cell = searched().sweep.search_space, cells(searched())[0]
    backwards = dict(reversed(space.items()))
    assert list(distributions(space, cell).items()) == list(distributions(backwards, cell).items())


def test_cells_are_all_combinations_in_order() -> None:
    params = study(group=["C1", "C4"], positional=["none", "relative"], depth=[1, 2])
    found = [(cell.group, cell.positional, cell.depth) for cell in cells(params)]
    assert found == list(itertools.product(["C1", "C4"], ["none", "relative"], [1, 2]))


def test_a_configuration_is_flat_and_whole() -> None:
    params = searched()
    cell = cells(params)[0]
    sampled = Proposer("random", 0, cell.name, space_of(params))
    config = configuration(cell, sampled.propose(0, []), params, FakeData())
    assert json.loads(json.dumps(config)) == config
    expected = (
        "model group positional depth tokens form heads window window_shape encoding patch_size "
        "basis kernel_size head_dropout drop_path softness penalty penalty_turns ema schedule "
        "channels "
        "feedforward_ratio dropout attention_dropout learning_rate weight_decay "
        "label_smoothing augment training_images light_shift light_crop light_colour "
        "class_weights equal_steps objective batch_size epochs seed in_channels num_classes "
        "image_size"
    )
    assert set(config) == set(expected.split())
    assert isinstance(config["channels"], int)
    assert isinstance(config["heads"], int)
    assert not any(isinstance(value, dict | tuple) for value in config.values())


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_a_hyperparameter_is_in_each_configuration_and_a_column_of_it_has_its_type(
    name: str,
) -> None:
    params = searched()
    model = next(model for model, kind in MODEL_KINDS.items() if name not in kind.lacks)
    cell = replace(cells(params)[0], model=model)
    config = configuration(cell, {"channels": 4, "heads": 2}, params, FakeData())
    assert config[name] is not None
    if name not in TRIALS.names:
        return
    field = TRIALS.field(name)
    assert field.type == (pa.int64() if HYPERPARAMETERS[name].is_integer else pa.float64())


def test_widths_meet_the_budget_of_parameters() -> None:
    from gsa_core import build_model, count_parameters

    space = {"learning_rate": SPACE["learning_rate"]}
    params = study(search_space=space, match={"of": "parameters", "at": 5000})
    counts = []
    for cell in cells(params):
        config = configuration(cell, {"learning_rate": 0.003}, params, FakeData())
        model = build_model(
            group=cell.group, depth=1, image_size=8, channels=config["channels"], num_heads=4
        )
        counts.append(count_parameters(model))
    assert all(abs(count - 5000) < 1000 for count in counts), counts


def test_names_of_cells_tell_them_apart() -> None:
    assert Cell("gsa", "C1", "none", 1, "stem").name != Cell("gsa", "C1", "none", 11, "stem").name


RIVALS_SPACE = {
    "learning_rate": {"low": 0.001, "high": 0.01},
    "channels": {"choices": [8, 12]},
    "softness": {"low": 0.1, "high": 1.0},
    "penalty": {"low": 0.1, "high": 10, "log": True},
}
EVERY_MODEL = [
    "gsa", "hybrid", "gcnn", "staged", "staged_gcnn", "vit", "symmetrized", "published_rotmnist",
    "canonical", "soft", "penalised",
]  # fmt: skip


def test_combinations_that_are_one_network_are_one_cell() -> None:
    params = study(
        model=EVERY_MODEL,
        group=["C1", "C4"],
        positional=["none", "rotary"],
        depth=[2],
        tokens=["stem", "trunk"],
        search_space=RIVALS_SPACE,
    )
    found = [cell.name for cell in cells(params)]
    assert len(set(found)) == len(found)
    by_model = {name: [x for x in found if x.startswith(f"{name}-")] for name in EVERY_MODEL}
    assert by_model == {
        "gsa": [f"gsa-{g}-{p}-d2-stem" for g in ("C1", "C4") for p in ("none", "rotary")],
        "hybrid": [f"hybrid-{g}-{p}-d2-trunk" for g in ("C1", "C4") for p in ("none", "rotary")],
        "gcnn": ["gcnn-C1-none-d2-trunk", "gcnn-C4-none-d2-trunk"],
        "staged": [f"staged-{g}-{p}-d2-trunk" for g in ("C1", "C4") for p in ("none", "rotary")],
        "staged_gcnn": ["staged_gcnn-C1-none-d3-trunk", "staged_gcnn-C4-none-d3-trunk"],
        "vit": ["vit-C1-none-d2-patch", "vit-C1-rotary-d2-patch"],
        "symmetrized": ["symmetrized-C4-none-d2-patch", "symmetrized-C4-rotary-d2-patch"],
        "published_rotmnist": [f"published_rotmnist-{g}-relative-d6-pixel" for g in ("C1", "C4")],
        **{
            model: [
                f"{model}-{g}-{p}-d2-{t}"
                for g in groups
                for p in ("none", "rotary")
                for t in ("stem", "trunk")
            ]
            for model, groups in (
                ("canonical", ("C4",)),
                ("soft", ("C4",)),
                ("penalised", ("C1", "C4")),
            )
        },
    }


@pytest.mark.parametrize("model", MODEL_KINDS)
def test_a_model_gets_what_it_has_and_nothing_else(model: str) -> None:
    from gsa_core import build_model, count_parameters
    from gsa_core.models.build import MODELS

    kind = MODEL_KINDS[model]
    params = study(
        model=[model],
        group=["C1" if model == "vit" else "C4"],
        tokens=["patch"],
        match=None if kind.width_is_fixed else {"of": "parameters", "at": 6000},
        search_space={
            "learning_rate": {"low": 0.001, "high": 0.01},
            "feedforward_ratio": {"choices": [1, 2]},
            **{key: {"low": 0.1, "high": 0.9} for key in kind.needs},
        },
    )
    architecture = {
        *(set(type(params.sweep.architecture).model_fields) - {"max_tokens"}),
        *("channels", "dropout", "attention_dropout", "feedforward_ratio"),
        *("head_dropout", "drop_path"),
    }
    named = {{"num_heads": "heads"}.get(name, name) for name in MODELS[kind.network or model][1]}
    assert kind.lacks - {"softness"} == architecture - named
    assert ("softness" in kind.lacks) == (model != "soft")
    (cell,) = cells(params)
    space = distributions(params.sweep.search_space, cell)
    assert set(space) == {"learning_rate", "feedforward_ratio", *kind.needs} - kind.lacks
    config = configuration(
        cell,
        {"learning_rate": 0.003, **dict.fromkeys(kind.needs, 0.5)},
        params,
        FakeData(image_size=12),
    )
    assert all(config[name] is None for name in kind.lacks - {"channels"})
    if kind.width_is_fixed:
        assert config.get("channels") is None
    else:
        network = build_model(**shape_of(config), channels=config["channels"])
        assert abs(count_parameters(network) - 6000) < 1500


@pytest.mark.parametrize("name", ["published_rotmnist", "published_cifar10", "published_pcam"])
def test_depth_of_a_published_network_is_its_layers_of_attention(name: str) -> None:
    from gsa_core.models.published import PUBLISHED

    assert MODEL_KINDS[name].fixed["depth"] == 1 + sum(PUBLISHED[name].blocks)


ASKED = {"form": "joint", "encoding": "continuous", "patch_size": 2, "window_shape": "disc"}


def networks() -> Iterator[tuple[str, str, str]]:
    """Models with encodings and tokens; one of those that a model fixes or lacks."""
    for model, kind in MODEL_KINDS.items():
        decided = kind.fixed.keys() | kind.lacks
        tokens = ["pixel", "patch", "stem", "trunk"]
        yield from itertools.product(
            [model],
            ["none"] if "positional" in decided else POSITIONAL,
            ["stem"] if "tokens" in decided else tokens,
        )


@pytest.mark.parametrize(("model", "positional", "tokens"), list(networks()))
def test_a_network_is_given_what_it_uses_and_no_more(
    model: str, positional: str, tokens: str
) -> None:
    """One architecture for all cells: what a cell leaves out, its network would refuse."""
    import torch

    from gsa_core import build_model

    kind = MODEL_KINDS[model]
    cell = {"model": model, "group": "C1", "positional": positional, "depth": 1, "tokens": tokens}
    sizes = {"in_channels": 1, "num_classes": 3, "image_size": 48, "channels": 4, "heads": 2}
    more = {"window": None, "feedforward_ratio": 2}
    config = {**sizes, **ASKED, **more, **cell, **kind.fixed, **dict.fromkeys(kind.lacks)}
    given = shape_of(config)
    if not kind.width_is_fixed:
        given["channels"] = 4
    with torch.device("meta"):
        build_model(**given)
        for name in unused(config) & ASKED.keys():
            with pytest.raises(ValueError, match=f"{name}: got"):
                build_model(**{**given, name: ASKED[name]})


def test_a_search_is_quiet() -> None:
    """By default Optuna logs a line for each study."""
    optuna.logging.set_verbosity(optuna.logging.INFO)
    params = study()
    Proposer("tpe", 0, cells(params)[0].name, space_of(params))
    assert optuna.logging.get_verbosity() == optuna.logging.WARNING
