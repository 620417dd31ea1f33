"""Commands before their turn, or with inputs that do not belong together: one sentence, exit 2."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_study
import pytest

from pipeline import __main__ as command_line
from pipeline.common import errors
from pipeline.common.commands import parse
from pipeline.confirm import stage as confirm
from pipeline.execution.engine import InProcess
from pipeline.execution.stage_inputs import read_card, read_trials
from pipeline.results import records, schemas
from pipeline.study.schema import Params
from pipeline.sweep import stage as sweep
from pipeline.tools import log, status
from pipeline.tools import trial as reproduce

CARD, TRIALS = Path("data/prepare/digits/card.json"), Path("data/sweep/digits/trials.parquet")
ASKED = ["trial", "--cell", "gsa-C4-relative-d1-stem", "--number", "0"]
PREPARE, SWEEP = "run `python -m pipeline prepare` first", "run `python -m pipeline sweep` first"


@pytest.fixture(autouse=True)
def clone(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the project's params.yaml and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSA_QUIET", "1")
    monkeypatch.setenv("GSA_ENGINE", "in-process")
    shutil.copy(root / "studies/digits.yaml", tmp_path / "params.yaml")
    for module in (sweep, confirm):
        monkeypatch.setattr(module, "load_dataset", fake_study.fake_load)


def run(monkeypatch: pytest.MonkeyPatch, capsys: Any, *arguments: str) -> tuple[Any, list[str]]:
    """Run a command in this process; return how it ended and what it said to standard error."""
    monkeypatch.setattr(sys, "argv", ["pipeline", *arguments])
    with pytest.raises(SystemExit) as ending:
        errors.main(command_line.main)
    return ending.value.code, capsys.readouterr().err.splitlines()


def a_study(**section: Any) -> Params:
    """A fake study whose sweep is done."""
    fake_study.prepare_folder()
    params = fake_study.study(**section)
    sweep.sweep(params, InProcess(), fake_study.fake_trial)
    return params


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sweep"], f"{CARD}: not there; {PREPARE}"),
        (["confirm"], f"{CARD}: not there; {PREPARE}"),
        (["plan"], f"{CARD}: not there; {PREPARE}"),
        (ASKED, f"{CARD}: not there; {PREPARE}"),
        (["log", *ASKED[1:]], f"{CARD}: not there; {PREPARE}"),
        (["report"], "data holds no results: run `dvc repro`"),
        (["summary"], "reports/metrics.json: no result yet; run `make study` first"),
        (["provenance", "tradeoff"], "data holds no rows of tradeoff: run `dvc repro`"),
        (["provenance", "x-seed1"], "data/confirm/*/runs.parquet: not there; run `dvc repro`"),
        (["provenance", "x-trial1"], "data/sweep/*/trials.parquet: not there; run `dvc repro`"),
        (["compare", "a", "b"], "not a git repository"),
        (["pin", "a", "-m", "b"], "not a git repository"),
    ],
)
def test_a_command_before_its_turn_names_what_is_missing_and_what_makes_it(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    before = sorted(Path().rglob("*"))
    code, said = run(monkeypatch, capsys, *arguments)
    assert code == 2 and len(said) == 1, said
    assert said[0].startswith("error: ") and sentence in said[0]
    assert sorted(Path().rglob("*")) == before, "something was written"


def test_confirm_before_the_sweep(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    fake_study.prepare_folder()
    assert run(monkeypatch, capsys, "confirm") == (2, [f"error: {TRIALS}: not there; {SWEEP}"])


def edit(**values: Any) -> Callable[[], None]:
    def change() -> None:
        CARD.write_text(json.dumps({**json.loads(CARD.read_text()), **values}))

    return change


def cut(path: Path, count: int) -> Callable[[], None]:
    return lambda: path.write_bytes(path.read_bytes()[:count]) and None


def in_its_place(path: Path, make: Callable[[Path], object]) -> Callable[[], None]:
    """Put a folder or a file where `path`, or a folder above it, is."""

    def change() -> None:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return change


def without(column: str) -> None:
    """Write the trials without a column."""
    import pyarrow.parquet as pq

    table = pq.read_table(TRIALS)
    pq.write_table(table.drop_columns([column]), TRIALS, store_schema=False)


CASES: dict[str, tuple[Callable[[], None], str]] = {
    "another seed": (edit(seed=7), r"card.json: was prepared with seed 7, but params.yaml says 0"),
    "another fraction": (edit(test_fraction=0.5), "was prepared with test_fraction 0.5, but"),
    "another shrink": (edit(shrink=4), "was prepared with shrink 4, but params.yaml says 1"),
    "cut card": (cut(CARD, 5), "card.json: no JSON"),
    "empty card": (cut(CARD, 0), "card.json: no JSON"),
    "folder for card": (in_its_place(CARD, Path.mkdir), "cannot be read .Is a directory"),
    "file for folder": (in_its_place(CARD.parent, Path.touch), "card.json: not there"),
    "other data": (edit(title="other"), "trials.parquet: was made with other prepared data"),
    "empty trials": (cut(TRIALS, 0), "trials.parquet: is damaged or was not written by"),
    "cut trials": (cut(TRIALS, 200), "trials.parquet: is damaged or was not written by"),
    "folder for trials": (in_its_place(TRIALS, Path.mkdir), "cannot be read .Is a directory"),
    "missing column": (lambda: without("pareto"), "trials.parquet: is damaged or was not written"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), CASES.values(), ids=CASES)
def test_inputs_that_do_not_fit_are_refused_by_name(
    change: Callable[[], None], sentence: str
) -> None:
    params = a_study()
    change()
    with pytest.raises(errors.UserError, match=sentence) as error:
        read_trials(params, "digits", read_card(params.prepare, "digits"))
    assert "\n" not in str(error.value) and "run `" in str(error.value)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        (fake_study.study(epochs=3), "was made with another section `sweep` than the study has"),
        (fake_study.study(trials_per_cell=5), "was made with another section `sweep`"),
        (fake_study.study().model_copy(update={"study": "b"}), "of the study 'fake', but .* 'b'"),
    ],
)
def test_trials_of_another_study_are_not_confirmed(params: Params, sentence: str) -> None:
    a_study()
    with pytest.raises(errors.UserError, match=f"trials.parquet: .*{sentence}.*; {SWEEP}"):
        confirm.confirm(params, InProcess(), fake_study.fake_confirmation)
    assert not Path("data/confirm").exists()


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("resources", {"workers": 1, "trial_timeout_seconds": 5}),
        ("confirm", {"seeds": [7, 8, 9]}),
        ("report", {"confidence": 0.9}),
    ],
)
def test_sections_that_decide_no_trial_refuse_none(section: str, change: dict[str, Any]) -> None:
    params = a_study()
    other = getattr(params, section).model_copy(update=change)
    confirm.confirm(
        params.model_copy(update={section: other}), InProcess(), fake_study.fake_confirmation
    )
    assert Path("data/confirm/digits/runs.parquet").exists()


@pytest.mark.parametrize(
    "params",
    [
        fake_study.study(trials_per_cell=5),
        fake_study.study(group=["C1", "C4"]),
        fake_study.study(epochs=3, batch_size=4),
        fake_study.study().model_copy(update={"study": "b"}),
    ],
    ids=["more trials", "fewer cells", "other training", "another name"],
)
def test_a_trial_comes_again_after_the_study_has_changed(
    params: Params, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    a_study()
    monkeypatch.setattr(reproduce, "load_params", lambda: params)
    monkeypatch.setattr(reproduce, "load_dataset", fake_study.fake_load)
    with pytest.raises(SystemExit) as ending:
        reproduce.main(parse(ASKED), fake_study.fake_trial)
    assert ending.value.code == 0, capsys.readouterr().out


def failing(task: Any, data: Any, context: Any) -> dict[str, Any]:
    if task.payload["configuration"]["group"] == "C4":
        raise ValueError("this cell always fails")
    return fake_study.fake_trial(task, data, context)


def test_a_trial_that_failed_fails_again_on_the_same_device(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    fake_study.prepare_folder()
    sweep.sweep(fake_study.study(), InProcess(), failing)
    monkeypatch.setattr(reproduce, "load_params", fake_study.study)
    monkeypatch.setattr(reproduce, "load_dataset", fake_study.fake_load)
    with pytest.raises(SystemExit) as ending:
        reproduce.main(parse(ASKED), failing)
    told = capsys.readouterr().out
    assert ending.value.code == 0, told
    assert "in this process, on cpu" in told and "1 of 1 metrics equal" in told


def test_runs_that_cannot_be_made_are_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.delenv("GSA_QUIET")
    fake_study.prepare_folder()
    params = fake_study.study()
    sweep.sweep(params, InProcess(), failing)
    capsys.readouterr()
    confirm.confirm(params, InProcess(), fake_study.fake_confirmation)
    lines = capsys.readouterr().out.splitlines()
    why = (
        "2 not made: none of the 4 trials of this cell completed; the first: ValueError: this cell "
        "always fails; the first, whole: python -m pipeline log --dataset digits "
        "--cell gsa-C4-relative-d1-stem --seed 101"
    )
    assert lines[0].startswith("confirm: 4 runs (2 more cannot be made) and ")
    assert lines[-1] == f"confirm: {why}"
    assert status.status(params)[-2:] == ["  4 of 4 runs done, 2 cannot be made", f"  {why}"]
    for table in (True, False):  # before the stage's end there is none
        whole = log.log(params, "digits", "gsa-C4-relative-d1-stem", seed=101).splitlines()
        assert whole[0].startswith("failed: none of the 4 trials") and len(whole) > 1, table
        shutil.rmtree("data/confirm", ignore_errors=True)


@pytest.mark.parametrize("change", [{"trials_per_cell": 5}, {"epochs": 3}])
def test_status_of_a_study_that_was_changed_is_no_refusal(change: dict[str, Any]) -> None:
    a_study()
    said = status.status(fake_study.study(**change))
    assert said[-2] == "confirm: not running"
    assert said[-1].startswith("  waits for the sweep: data/sweep") and SWEEP in said[-1]


def test_a_trial_measures_again_what_the_study_no_longer_asks_for(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def measuring(task: Any, data: Any, context: Any) -> dict[str, Any]:
        value = fake_study.fake_trial(task, data, context)
        if "invariance_error" in task.payload["measures"]:
            value["row"]["validation_invariance_error"] = 0.25
        return value

    fake_study.prepare_folder()
    asking = fake_study.study(objectives=["accuracy", "invariance_error"])
    sweep.sweep(asking, InProcess(), measuring)
    monkeypatch.setattr(reproduce, "load_params", fake_study.study)
    monkeypatch.setattr(reproduce, "load_dataset", fake_study.fake_load)
    with pytest.raises(SystemExit) as ending:
        reproduce.main(parse(ASKED), measuring)
    assert ending.value.code == 0, capsys.readouterr().out


def test_trials_without_a_digest_of_their_search_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    params = a_study()
    rows = records.read(TRIALS, schemas.TRIALS)
    origin = {"data_sha256": records.read_provenance(TRIALS)["data_sha256"]}
    plain = [{str(k): v for k, v in row.items()} for row in rows.astype(object).to_dict("records")]
    records.write(TRIALS, [{k: v for k, v in row.items() if v == v} for row in plain],
                  schemas.TRIALS, origin)  # fmt: skip
    assert len(read_trials(params, "digits", CARD.read_bytes())) == len(rows)


def test_a_data_set_that_was_added_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    fake_study.prepare_folder()
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("datasets: [digits]", "datasets: [digits, mnist]"))
    code, said = run(monkeypatch, capsys, "plan")
    assert code == 2 and said == [f"error: data/prepare/mnist/card.json: not there; {PREPARE}"]


@pytest.mark.parametrize("text", ["[]", "{}", '"text"', "{", ""])
def test_a_summary_of_a_damaged_file(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    Path("reports").mkdir()
    Path("reports/metrics.json").write_text(text)
    code, said = run(monkeypatch, capsys, "summary")
    assert code == 2 and len(said) == 1 and re.search("no result yet", said[0])
