"""Which trials run, which are stopped, which counts as best: equal whoever finishes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_study
import optuna
import pandas as pd
import pytest
import yaml
from fake_study import small_data
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from sweeps import TABLE, Shuffled, learning, run, runs_of

from pipeline.common.errors import UserError
from pipeline.execution.engine import InProcess
from pipeline.execution.tasks import Context
from pipeline.results import records
from pipeline.search.space import configuration
from pipeline.study.cells import cells
from pipeline.study.params import load_params
from pipeline.sweep import stage as sweep
from pipeline.sweep.budget import Budget
from pipeline.sweep.early_stopping import SuccessiveHalving
from pipeline.sweep.evolution import Evolution
from pipeline.sweep.proposals import BEST, LATEST, Proposer
from pipeline.training.loop import train

pytestmark = pytest.mark.usefixtures("fake_folder")


def trial_of(accuracies: dict[int, float]) -> FrozenTrial:
    return create_trial(state=TrialState.PRUNED, intermediate_values=accuracies)


def test_a_cutoff_is_what_the_best_third_reached() -> None:
    halving = SuccessiveHalving(reduction=3, min_epochs=1, epochs=9)
    assert halving.rungs == [1, 3]
    earlier = [trial_of({1: i / 10, 3: 0.5} if i > 3 else {1: i / 10}) for i in range(10)]
    assert halving.cutoffs(earlier) == [[1, 0.7], [3, 0.5]]
    assert halving.cutoffs(earlier[:4]) == [[1, 0.3]], "three of a rung are the least"
    assert halving.cutoffs([]) == []


def test_a_training_stops_where_it_is_told_to() -> None:
    params = fake_study.study(epochs=3)
    sampled = {"learning_rate": 0.003, "channels": 8}
    config = configuration(cells(params)[0], sampled, params, small_data())
    whole = train(config, small_data())
    reached = whole.epochs[1]["validation_accuracy"]
    stopped = train({**config, "stop_below": [[2, reached + 0.01]]}, small_data())
    assert (stopped.row["status"], stopped.row["epochs"]) == ("stopped", 2)
    assert stopped.row["reason"].startswith(f"validation accuracy {reached:.4g} after epoch 2")
    same = train({**config, "stop_below": [[2, reached]]}, small_data())
    assert same.row["status"] == "completed"
    untimed = {"seconds": 0, "training_seconds": 0}
    assert [{**e, **untimed} for e in same.epochs] == [{**e, **untimed} for e in whole.epochs]


@pytest.mark.parametrize(
    "section",
    [
        {"stopping": {"reduction": 3}},
        {"stopping": {"reduction": 3}, "sampler": "random", "budget": {"patience": 7}},
        {"objectives": ["accuracy", "params"], "constraints": {"params": 1000}},
        {"sampler": "cmaes", "budget": {"patience": 15}},
    ],
    ids=["stopping", "stopping and patience", "objectives", "cmaes"],
)
def test_rows_are_equal_whoever_finishes_first(
    section: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one = run(**section)
    for slots, seed in [(2, 1), (7, 2)]:
        (folder := tmp_path / f"{slots}").mkdir()
        monkeypatch.chdir(folder)
        fake_study.prepare_folder()
        pd.testing.assert_frame_equal(run(Shuffled(slots, seed), **section), one_by_one)


def test_stopped_trials_are_rows_but_never_the_best() -> None:
    table = run(stopping={"reduction": 3})
    assert (table["status"][:10] == "completed").all(), "one of the first generation was stopped"
    stopped = table[table["status"] == "stopped"]
    assert 0 < len(stopped) < 20
    assert set(stopped["epochs"]) <= {1, 3}
    assert not stopped["pareto"].any()
    assert len(table) == 30
    best = table.loc[table["pareto"], "validation_accuracy"].item()
    assert best == table.loc[table["status"] == "completed", "validation_accuracy"].max()
    [planned, *_] = runs_of(table)
    assert "stop_below" not in planned.configuration


def test_a_cell_ends_when_it_does_not_improve(monkeypatch: pytest.MonkeyPatch) -> None:
    def worse(task: Any, data: Any, context: Context) -> dict[str, Any]:
        value = learning(task, data, context)
        number = int(task.key.split()[-1])
        flat = task.payload["configuration"]["group"] == "C1"
        value["row"]["validation_accuracy"] = 0.5 - (0.01 if flat else -0.01) * number
        return value

    table = run(function=worse, group=["C1", "C4"], budget={"patience": 12})
    assert table.groupby("group").size().to_dict() == {"C1": 20, "C4": 30}
    ended = records.read_provenance(TABLE)["ended"]
    assert ended == {"gsa-C1-relative-d1-stem": "no improvement in 12 trials"}


def test_a_sweep_ends_when_its_hours_are_over_and_goes_on_with_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spent = iter(range(100))
    monkeypatch.setattr(Budget, "elapsed", property(lambda self: 900.0 * next(spent)))
    table = run(budget={"hours": 1})
    assert 0 < len(table) < 30
    assert (table["status"] == "completed").all()
    ended = records.read_provenance(TABLE)["ended"]
    assert ended == {"gsa-C1-relative-d1-stem": "the 1 hours of sweep.budget are over"}
    monkeypatch.undo()
    monkeypatch.setenv("GSA_QUIET", "1")


def test_spending_counts_earlier_starts() -> None:
    budget = Budget(hours=1, gpu_hours=2, gpus=0.5)
    budget.restore(elapsed=3599.9, seconds=3600 * 3)
    assert budget.used_up is None or "1 hours" in budget.used_up
    budget.restore(elapsed=3600, seconds=0)
    assert budget.used_up == "the 1 hours of sweep.budget are over"
    budget.hours = None
    budget.restore(elapsed=0, seconds=3600)
    assert budget.used_up == "the 2 GPU hours of sweep.budget are spent"


def test_a_hyperparameter_is_searched_where_its_condition_holds() -> None:
    space = {
        "learning_rate": {"low": 0.001, "high": 0.01},
        "channels": {"choices": [8, 12]},
        "dropout": {"low": 0.1, "high": 0.2, "when": {"group": ["C4", "D4"]}},
    }
    table = run(search_space=space, group=["C1", "C4", "D4"], trials_per_cell=3)
    searched = table.groupby("group")["dropout"].agg(lambda column: (column > 0).all())
    assert searched.to_dict() == {"C1": False, "C4": True, "D4": True}
    assert (table.loc[table["group"] == "C1", "dropout"] == 0).all(), "the default is lost"


@pytest.mark.parametrize("dimensions", [1, 3])
def test_an_evolution_strategy_finds_a_better_place_than_chance(dimensions: int) -> None:
    space = {f"x{i}": FloatDistribution(0, 1) for i in range(dimensions)}
    strategy, trials = Evolution(space, seed=1, generation=10), []
    for number in range(100):
        point = strategy.propose(number, trials)
        value = -sum((x - 0.8) ** 2 for x in point.values())
        trials.append(create_trial(value=value, params=point, distributions=space))
    first, last = (sum(t.value for t in trials[at : at + 10]) for at in (0, 90))
    assert last > first / 10
    again = Evolution(space, seed=1, generation=10)
    assert again.propose(99, trials) == trials[99].params, "a restart proposes otherwise"


def test_a_long_search_is_fitted_to_its_best_and_latest_trials() -> None:
    space = {"x": FloatDistribution(0, 1)}
    trials = [
        create_trial(value=-abs(i - 40), params={"x": i / 1000}, distributions=space)
        for i in range(650)
    ]
    step_by_step = Proposer("tpe", 0, "cell", space)
    for number in range(0, 650, 10):
        proposed = step_by_step.propose(number, trials)
    anew = Proposer("tpe", 0, "cell", space)
    assert anew.propose(640, trials) == proposed, "a restart proposes otherwise"
    known = [t for t in anew.study.trials if t.state == TrialState.COMPLETE]
    places = [round(trial.params["x"] * 1000) for trial in known]
    assert len(places) == BEST + 240 and LATEST <= 240
    assert 40 in places and places[-240:] == list(range(400, 640))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stopping": {"reduction": 3}}, "the first 10 trials of a cell are never stopped"),
        (
            {"stopping": {"reduction": 3, "min_epochs": 8}, "trials_per_cell": 20},
            "sweep.stopping.min_epochs: got 8, but a trial has 8 epochs",
        ),
        ({"stopping": {"reduce": 3}}, "unknown key; accepts reduction, min_epochs"),
        ({"objectives": ["flops"]}, "got 'flops' first; accepts one of accuracy, balanced"),
        ({"objectives": ["accuracy", "speed"]}, "got 'speed'; accepts accuracy, balanced_accuracy"),
        (
            {"objectives": ["accuracy", "flops"], "sampler": "cmaes"},
            "got 2 objectives with sampler: cmaes",
        ),
        ({"constraints": {"param": 5}}, "unknown name; accepts params, flops"),
        ({"constraints": {"params": -5}}, "sweep.constraints.params: got -5; accepts a number"),
        ({"constraints": 5}, "a mapping of names to values, each a number above 0"),
        ({"budget": {"hour": 5}}, "unknown key; accepts hours, gpu_hours, patience"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(
    root: Path, change: dict[str, Any], message: str
) -> None:
    refuse(root, change, message)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"group": ["C3"]}, "when.group[0]: got 'C3', which no cell of the study has"),
        ({"group": "C 4"}, "got 'C 4'; accepts a list of 1 to 64 values"),
        ({"groups": ["C4"]}, "unknown name; accepts model, group, positional, depth, tokens"),
        ({"depth": [1.5]}, "got 1.5; accepts a name, a whole number or null"),
    ],
)
def test_conditions_name_what_the_study_has(root: Path, when: dict[str, Any], message: str) -> None:
    rate = {"low": 0.001, "high": 0.01, "when": when}
    refuse(root, {"search_space": {"learning_rate": rate}}, message)


def refuse(root: Path, change: dict[str, Any], message: str) -> None:
    """Expect a study with a changed sweep section to be refused."""
    text = yaml.safe_load((root / "studies/digits.yaml").read_text())
    text["sweep"].update(change)
    Path("params.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(UserError) as refused:
        load_params("params.yaml")
    assert message in str(refused.value), refused.value


def test_a_broken_cell_is_named_before_the_first_trial(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.sweep import smoke_test

    monkeypatch.delenv("GSA_QUIET")
    monkeypatch.setattr(sweep, "load_dataset", lambda *a, **k: small_data())
    build = smoke_test.build_model

    def broken(**arguments: Any) -> Any:
        if arguments["group"] == "C4":
            raise ValueError("no such model")
        return build(**arguments)

    monkeypatch.setattr(smoke_test, "build_model", broken)
    params = fake_study.study(trials_per_cell=1)
    sweep.sweep(params, InProcess(), learning, smoke_test.broken_cells)
    told = capsys.readouterr().out.splitlines()
    named = "sweep: digits gsa-C4-relative-d1-stem cannot work, its trials will fail: ValueError"
    assert [line.startswith(named) for line in told[:3]] == [False, True, False]
    assert not any("cannot work" in line for line in told[2:])


optuna.logging.set_verbosity(optuna.logging.WARNING)
