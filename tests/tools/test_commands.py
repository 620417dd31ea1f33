"""Commands about trials: what a study will take, and a trial done again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_study
import pytest
from fake_study import small_data

from pipeline.common.commands import parse
from pipeline.common.errors import UserError
from pipeline.common.units import size
from pipeline.dataset import Dataset
from pipeline.execution.engine import InProcess
from pipeline.results.provenance import ENVIRONMENT, provenance
from pipeline.study.cells import cells
from pipeline.study.schema import Params
from pipeline.sweep import stage as sweep
from pipeline.sweep.trial import run_trial
from pipeline.tools import plan
from pipeline.tools import trial as reproduce
from pipeline.tools.support import forecast as estimates
from pipeline.tools.support.forecast import forecast
from pipeline.training.cost import trial_bytes

ASKED = ["trial", "--cell", "gsa-C4-relative-d1-stem", "--number", "2"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder whose data set is a fake."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKE_STARTS", str(tmp_path / "starts.txt"))
    monkeypatch.setenv("GSA_QUIET", "1")
    monkeypatch.setattr(sweep, "load_dataset", fake_study.fake_load)
    for module in (reproduce, plan):
        monkeypatch.setattr(module, "load_dataset", fake_study.fake_load)
        monkeypatch.setattr(module, "load_params", fake_study.study)
    fake_study.prepare_folder()
    return tmp_path


def test_a_trial_comes_again_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    sweep.sweep(fake_study.study(), InProcess(), fake_study.fake_trial)
    with pytest.raises(SystemExit) as ending:
        reproduce.main(parse(ASKED), fake_study.fake_trial)
    told = capsys.readouterr().out
    assert ending.value.code == 0, told
    assert "9 of 9 metrics equal" in told, "of the row and of both epochs, what was measured"
    assert "nan" not in told and "params               recorded " in told


@pytest.mark.parametrize(
    ("recorded", "now", "shown"),
    [(3, 3.0, "recorded 3, now 3.0: equal"), (None, 2, "recorded nothing, now 2: DIFFERS"),
     (float("nan"), 0.5, "recorded nothing, now 0.5: DIFFERS")],
)  # fmt: skip
def test_what_is_unknown_is_said_in_words(
    recorded: Any, now: Any, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reproduce.report([reproduce.Comparison("training_flops", recorded, now)])
    assert shown in capsys.readouterr().out


def test_whole_numbers_stay_whole_beside_a_failed_trial() -> None:
    def failing(task: Any, data: Any, context: Any) -> dict[str, Any]:
        if task.key.endswith(" 1"):
            raise ValueError("no parameters, no FLOPs")
        value = fake_study.fake_trial(task, data, context)
        value["row"]["training_flops"] = 10**15 + 1
        return value

    sweep.sweep(fake_study.study(), InProcess(), failing)
    first, _ = reproduce.find("digits", "gsa-C4-relative-d1-stem", 0)
    failed, _ = reproduce.find("digits", "gsa-C4-relative-d1-stem", 1)
    assert first["training_flops"] == 10**15 + 1 and failed["training_flops"] is None


def test_trials_of_a_conditional_space_come_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {
        "learning_rate": {"low": 0.001, "high": 0.01},
        "channels": {"choices": [8, 12]},
        "dropout": {"low": 0.1, "high": 0.2, "when": {"group": ["C4"]}},
    }
    params = fake_study.study(search_space=space)
    monkeypatch.setattr(reproduce, "load_params", lambda: params)
    sweep.sweep(params, InProcess(), fake_study.fake_trial)
    for group, dropout in (("C4", "dropout 0.1"), ("C1", "dropout 0.0")):
        with pytest.raises(SystemExit) as ending:
            reproduce.main(
                parse(["trial", "--cell", f"gsa-{group}-relative-d1-stem", "--number", "1"]),
                fake_study.fake_trial,
            )
        told = capsys.readouterr().out
        assert ending.value.code == 0 and dropout in told, told


def test_a_trial_that_comes_otherwise_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    sweep.sweep(fake_study.study(), InProcess(), fake_study.fake_trial)

    def other(task: Any, data: Any, context: Any) -> dict[str, Any]:
        value = fake_study.fake_trial(task, data, context)
        value["row"]["validation_accuracy"] += 1e-15
        return value

    with pytest.raises(SystemExit) as ending:
        reproduce.main(parse(ASKED), other)
    told = capsys.readouterr().out
    assert ending.value.code == 1
    assert "DIFFERS" in told
    assert "recorded at commit" in told
    assert "packages, machine, parameters and data are the same" in told


def test_what_differs_since_a_trial_was_recorded_is_named() -> None:
    params = fake_study.study()
    now = provenance(params, {"name": "digits"})
    assert set(ENVIRONMENT) <= now.keys(), "looked up where it is written"
    earlier = {"torch": "2.1", "cmaes": None, "machine": "other", "data_sha256": "x"}
    for key, then in earlier.items():
        told = reproduce.explain({**now, key: then}, now)
        assert f"{key} {then} then, {now[key]} now" in told
        assert "are the same" not in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["trial", "--cell", "gsa-C4-relativ-d1-stem", "--number", "2"],
            "did you mean 'gsa-C4-relative",
        ),
        ([*ASKED[:4], "9"], "--number: got 9; gsa-C4-relative-d1-stem has 0, 1, 2, 3"),
        ([*ASKED, "--dataset", "mnist"], "--dataset: got 'mnist'; accepts digits"),
    ],
)
def test_what_is_not_there_is_named(arguments: list[str], message: str) -> None:
    sweep.sweep(fake_study.study(), InProcess(), fake_study.fake_trial)
    with pytest.raises(UserError, match=message):
        reproduce.main(parse(arguments), fake_study.fake_trial)


def test_a_real_trial_has_equal_metrics_in_another_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(*arguments: Any, **options: Any) -> Dataset:
        return small_data()

    monkeypatch.setattr(sweep, "load_dataset", load)
    monkeypatch.setattr(reproduce, "load_dataset", load)
    params = fake_study.study(group=["C1"], trials_per_cell=1)
    sweep.sweep(params, InProcess(), run_trial)
    with pytest.raises(SystemExit) as ending:
        reproduce.main(parse(["trial", "--cell", "gsa-C1-relative-d1-stem", "--number", "0"]))
    assert ending.value.code == 0, capsys.readouterr().out


def test_a_plan_counts_every_cell_and_more_work_is_longer() -> None:
    def seconds(params: Params) -> float:
        return sum(forecast(params, small_data(), cell).seconds for cell in cells(params))

    once = fake_study.study(group=["C4"], trials_per_cell=1, epochs=1)
    often = fake_study.study(group=["C4"], trials_per_cell=40, epochs=10)
    assert 0 < 5 * seconds(once) < seconds(often)


@pytest.mark.parametrize("match", [None, {"of": "seconds", "at": 16, "parameters": 5000}])
def test_a_forecast_knows_every_batch_size_that_is_searched(
    match: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image takes as many seconds in training as its batch has images, and none to evaluate."""
    monkeypatch.setattr(estimates, "image_seconds", lambda config, *_: (config["batch_size"], 0.0))
    space = {"learning_rate": {"choices": [0.01]}, "batch_size": {"choices": [1, 3]}}
    space |= {} if match else {"channels": {"choices": [4]}}
    params = fake_study.study(
        match=match, epochs=None if match else 2, batch_size=None, search_space=space, group=["C1"]
    )
    found = forecast(params, small_data(), cells(params)[0])
    images = len(small_data().train)
    assert found.trial_seconds == found.config["epochs"] * images * 2  # the mean of 1 and 3
    if match:  # by steps of 1 or 9 seconds
        step = {1: 1, 3: 9}[found.config["batch_size"]]
        assert found.config["step_seconds"] == step


def test_memory_of_a_trial_is_what_backward_keeps() -> None:
    params = fake_study.study()
    config = forecast(params, small_data(), cells(params)[0]).config
    small, large = (trial_bytes({**config, "batch_size": n}, small_data()) for n in (2, 16))
    assert 4 * small < 8 * large < 64 * small + 1
    assert large > 2 * small, "it does not grow with the batch"


def test_a_plan_has_a_line_for_each_cell_and_a_total(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plan, "load_dataset", lambda *_: small_data())
    plan.main()
    lines = capsys.readouterr().out.splitlines()
    names = [cell.name for cell in cells(fake_study.study())]
    assert [line.split()[0] for line in lines[2 : 2 + len(names)]] == names
    assert lines[2 + len(names)].startswith("12 trials and 6 runs: ")
    # 6 runs of 40 images: 5 conditions of 10 logits, and 9 of a prediction and a probability
    assert lines[-1] == (
        f"logits and predictions of every test image are kept, at most {size(6 * 40 * 136)} "
        "(confirm.keep: auto)"
    )


@pytest.mark.parametrize(
    ("keep", "starts"),
    [("none", "no predictions of test images are kept"), ("predictions", "predictions of every")],
)
def test_a_plan_says_what_is_kept(keep: str, starts: str) -> None:
    params = fake_study.study()
    section = params.confirm.model_copy(update={"keep": keep})
    told = plan.what_is_kept(
        params.model_copy(update={"confirm": section}), {"d": small_data().card}
    )
    assert told.startswith(starts) and told.endswith(f"(confirm.keep: {keep})")
