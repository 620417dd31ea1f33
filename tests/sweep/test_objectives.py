"""Objectives and constraints: the Pareto front, what counts as best, what is no number."""

from __future__ import annotations

import json
from typing import Any

import fake_study
import pytest
from fake_study import small_data
from sweeps import TABLE, learning, run, runs_of

from pipeline.execution.tasks import Context, checked
from pipeline.results import records, schemas
from pipeline.search import objectives
from pipeline.search.objectives import front
from pipeline.search.space import configuration
from pipeline.study.cells import cells
from pipeline.study.objectives import OBJECTIVES

pytestmark = pytest.mark.usefixtures("fake_folder")


def row_of(accuracy: float, params: float, **more: Any) -> dict[str, Any]:
    return {"status": "completed", "validation_accuracy": accuracy, "params": params, **more}


def test_the_front_is_what_nothing_beats() -> None:
    rows = [
        row_of(0.9, 100),
        row_of(0.8, 50),
        row_of(0.8, 60),  # beaten by the one before
        row_of(0.95, 200, feasible=False),
        row_of(0.9, 100),  # equal to the first
        row_of(0.7, 60),
        row_of(0.99, 10, status="diverged"),
        row_of(float("nan"), 1),
    ]
    assert front(rows, ["accuracy", "params"]) == [True, True, *[False] * 2, True, *[False] * 3]
    assert front(rows, ["accuracy"]) == [True, *[False] * 3, True, *[False] * 3]
    assert front([], ["accuracy"]) == []


def test_an_infeasible_trial_is_never_the_best() -> None:
    table = run(constraints={"params": 1000})
    assert (table["feasible"] == (table["channels"] == 8)).all()
    assert table["feasible"].nunique() == 2
    assert table.loc[table["pareto"], "feasible"].all()
    best = table.loc[table["feasible"], "validation_accuracy"].max()
    [planned, *_] = runs_of(table, group=["C1"])
    assert planned.tuned_validation_accuracy == best


def test_a_cell_without_a_feasible_trial_says_so() -> None:
    from pipeline.execution.run_stage import StageFailed

    with pytest.raises(StageFailed):
        run(constraints={"params": 10})
    table = records.read(TABLE, schemas.TRIALS)
    [planned, *_] = runs_of(table, group=["C1"])
    assert planned.reason == "each of the 30 completed trials breaks one of sweep.constraints"


@pytest.mark.parametrize("name", ["validation_accuracy", "validation_invariance_error"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_a_diverged_row(name: str, value: float) -> None:
    row = {**row_of(0.9, 1), "validation_invariance_error": 0.1, name: value}
    found = checked({"row": row, "epochs": []})["row"]
    assert found["status"] == "diverged"
    assert found["reason"] == f"the {name.replace('_', ' ')} is not a number"
    assert objectives.score(found) is None
    assert front([found], ["accuracy", "invariance_error"]) == [False]


def test_a_run_whose_measure_is_no_number_has_diverged() -> None:
    measures = {"run": {"test_accuracy": 0.5, "invariance_error": float("nan")}}
    value = {"row": row_of(0.9, 1), "epochs": [], "measures": measures}
    assert checked(value)["row"]["status"] == "diverged"


def test_objectives_have_columns() -> None:
    assert {column for column, _ in OBJECTIVES.values()} <= set(schemas.TRIALS.names)


def test_the_invariance_error_of_a_trial_is_that_of_its_model() -> None:
    from pipeline.execution.tasks import Task
    from pipeline.sweep.trial import run_trial

    params, errors = fake_study.study(group=["C1", "C4"], epochs=1), []
    for cell in cells(params):
        config = configuration(cell, {"channels": 8}, params, small_data())
        payload = {"dataset": "digits", "configuration": config, "measures": ["invariance_error"]}
        value = run_trial(Task("key", payload), {"digits": small_data()}, Context())
        errors.append(value["row"]["validation_invariance_error"])
    assert errors[0] > 0.1 > 1e-5 > errors[1]


def test_confirm_takes_the_best_accuracy_of_the_front() -> None:
    def wide_is_better(task: Any, data: Any, context: Context) -> dict[str, Any]:
        value = learning(task, data, context)
        value["row"]["validation_accuracy"] += value["row"]["params"] / 1e4
        return value

    run(function=wide_is_better, objectives=["accuracy", "params"], trials_per_cell=12)
    table = records.read(TABLE, schemas.TRIALS)
    assert table["pareto"].sum() > 1, "the front has one trial"
    [planned, *_] = runs_of(table, group=["C1"])
    assert planned.tuned_validation_accuracy == table["validation_accuracy"].max()
    assert json.loads(table.set_index("trial").loc[planned.trial, "configuration"])["channels"]


def test_a_search_by_turned_images_takes_what_they_reward() -> None:
    """A penalty that costs accuracy on upright images and brings some on turned ones."""

    def penalised(task: Any, data: Any, context: Context) -> dict[str, Any]:
        value = learning(task, data, context)
        penalty = task.payload["configuration"]["penalty"]
        value["row"].update(
            validation_accuracy=0.9 - 0.1 * penalty, validation_accuracy_turned=0.3 + 0.4 * penalty
        )
        return value

    chosen = []
    for objective in ("accuracy", "accuracy_turned"):
        section = {
            "objectives": [objective],
            "search_space": {"penalty": {"low": 0.0, "high": 1.0}, "channels": {"choices": [8]}},
        }
        table = run(function=penalised, trials_per_cell=12, **section)
        [planned, *_] = runs_of(table, group=["C1"], **section)
        assert planned.configuration is not None
        chosen.append(planned.configuration["penalty"])
        assert ("objective_turns" in planned.configuration) == (objective == "accuracy_turned")
    assert chosen[0] < 0.4 and chosen[1] > 0.6
