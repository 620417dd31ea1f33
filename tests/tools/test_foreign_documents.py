"""Documents of somebody else, JSON of any form: one sentence, or no result."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import fake_study
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import __main__ as command_line
from pipeline.common import errors
from pipeline.common.documents import MOST_DEPTH, configuration, parse_json, read_json
from pipeline.common.errors import UserError
from pipeline.dataset import load_dataset
from pipeline.execution import nodes
from pipeline.prepare.images.fit_to_square import Target
from pipeline.prepare.images.value_range import white_level
from pipeline.prepare.sources import parquet
from pipeline.prepare.survey import Survey
from pipeline.results import records, schemas
from pipeline.tools import summary

HOSTILE = {
    "deep": "[" * 100_000,
    "nested": "[" * (MOST_DEPTH + 2) + "]" * (MOST_DEPTH + 2),
    "cut": '{"a": ',
    "bytes": b"\xff\xfe\x00",
    "number": '{"a": NaN}',
    "digits": "1" * 5000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_json_is_one_sentence_wherever_it_is_read(kind: str, tmp_path: Path) -> None:
    content = HOSTILE[kind]
    content = content if isinstance(content, bytes) else content.encode()
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="fix it"):
        read_json(path, "fix it")
    with pytest.raises(UserError, match=r"card\.json"):
        load_dataset(tmp_path)
    with pytest.raises(UserError, match="configuration"):
        configuration(content.decode("utf-8", "replace"))


def test_size_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="longer than 10 bytes"):
        parse_json("[" + " " * 10 + "]", "x", "fix it", most=10)
    (tmp_path / "x.json").write_text(" " * 20)
    with pytest.raises(UserError, match="longer than 10 bytes"):
        read_json(tmp_path / "x.json", "fix it", most=10)


@pytest.mark.parametrize("text", ["3", "[]", "null", '"x"'])
def test_a_configuration_is_a_mapping(text: str) -> None:
    with pytest.raises(UserError, match="holds no mapping"):
        configuration(text)


@pytest.mark.parametrize("card", [{"counts": []}, {"files": 3}, {"files": {}}, {"name": None},
                                  {"counts": {"train": {"total": "x"}}}])  # fmt: skip
def test_a_card_of_other_types_is_one_sentence(card: dict[str, Any], tmp_path: Path) -> None:
    from pipeline.dataset.store import CARD_FORMAT

    (tmp_path / "card.json").write_text(json.dumps({"format": CARD_FORMAT, **card}))
    with pytest.raises(UserError, match=r"card\.json"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("ended", [3, [1], {"C4": 3}, "x"])
def test_a_provenance_of_other_types_is_one_sentence(ended: Any, tmp_path: Path) -> None:
    path = tmp_path / "trials.parquet"
    records.write(path, [], schemas.TRIALS, {"ended": ended})
    with pytest.raises(UserError, match="does not say why cells ended"):
        records.read_provenance(path)


DEEP = "[" * 100_000


NOT_OURS = ["[]", "3", "{", "", '{"runtime_env": 3}', DEEP, '{"info": ' * 100_000]


@pytest.mark.parametrize("job", NOT_OURS)
def test_a_job_that_is_none_is_one_sentence(job: str) -> None:
    with pytest.raises(
        UserError, match=f"{nodes.SUBMITTED_JOB}: .*submit the job with Ray"
    ) as error:
        nodes.has_folder(job)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("info", [*NOT_OURS, '{"info": []}', '{"info": {"features": 3}}'])
def test_metadata_of_a_parquet_file_that_are_none_name_no_class(info: str, tmp_path: Path) -> None:
    table = pa.table({"image": [b"x"] * 4, "label": [0, 1, 0, 1]})
    pq.write_table(table.replace_schema_metadata({"huggingface": info}), tmp_path / "a.parquet")
    found = parquet.read(
        tmp_path / "a.parquet", Target(8, "resize", 1), splits=None, min_count=1,
        image_column="image", label_column="label", group_column=None, skip=False,
    )  # fmt: skip
    assert list(found.class_names) == ["0000", "0001"]


@pytest.mark.parametrize(
    "content",
    [*NOT_OURS, '["", {}]', '["", {"asked": ["value_range"]}]', '["", 3]', '["", {"largest": 1}]'],
)
def test_a_note_of_a_survey_that_is_none_is_made_again(content: str, tmp_path: Path) -> None:
    (tmp_path / "survey.json").write_text(content)
    survey = Survey(tmp_path / "survey.json", "mine", "auto")
    assert survey.white_level() == white_level(0)
    assert survey.facts() == Survey(tmp_path / "survey.json", "mine", "auto").facts() != {}


@pytest.mark.parametrize("content", [*NOT_OURS, '{"summary"', '{"other": 1}'])
def test_metrics_that_are_none_are_no_result(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reports").mkdir()
    Path("reports/metrics.json").write_text(content)
    with pytest.raises(UserError, match="no result yet; run `make study` first"):
        summary.main()


def test_a_summary_moves_no_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reports").mkdir()
    Path("reports/metrics.json").write_text(json.dumps({"summary": "\x1b[2J\u202ebest"}))
    summary.main()
    assert "\\x1b[2J\\u202ebest" in capsys.readouterr().out


def test_a_report_of_another_study_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reports").mkdir()
    Path("reports/metrics.json").write_text(json.dumps({"summary": "C4 is best."}))
    Path("reports/index.html").write_text("<title>pets: report</title>")
    for stated, noted in (("pets", False), ("birds", True)):
        study = fake_study.study().model_copy(update={"study": stated})
        monkeypatch.setattr(summary, "load_params", lambda study=study: study)
        summary.main()
        assert ("of the study pets; `make study` replaces" in capsys.readouterr().out) == noted


@pytest.mark.parametrize(("command", "said"), [("sweep", True), ("plan", False)])
def test_after_a_failed_stage_an_earlier_report_is_named(
    command: str, said: bool, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    shutil.copy(root / "studies/digits.yaml", tmp_path / "params.yaml")
    Path("reports").mkdir()
    Path("reports/index.html").write_text("<title>symmetry: report</title>")
    monkeypatch.setattr(sys, "argv", ["pipeline", command])
    with pytest.raises(SystemExit):
        errors.main(command_line.main, command_line.after_failure)
    lines = capsys.readouterr().err.splitlines()
    assert "card.json: not there" in lines[0] and len(lines) == 1 + said
    assert "before this failure; it is the report of the study symmetry" in lines[-1] or not said


@pytest.mark.parametrize("kept", [True, False])
def test_after_a_failed_stage_its_earlier_tables_are_named(
    kept: bool, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(root / "studies/digits.yaml", tmp_path / "params.yaml")
    checksum = f"ab{30 * '0'}.dir"
    out = {"path": "data/sweep", "md5": checksum}
    Path("dvc.lock").write_text(json.dumps({"stages": {"sweep": {"outs": [out]}}}))
    if kept:
        Path(".dvc/cache/files/md5/ab").mkdir(parents=True)
        Path(f".dvc/cache/files/md5/ab/{checksum[2:]}").touch()
    monkeypatch.setattr(sys, "argv", ["pipeline", "sweep"])
    with pytest.raises(SystemExit):
        errors.main(command_line.main, command_line.after_failure)
    said = capsys.readouterr().err
    assert ("note: data/sweep is missing until the stage ends (`dvc get . " in said) == kept


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), SystemExit(143)])
@pytest.mark.parametrize(("reported", "noted"), [("pets", True), ("digits", False)])
def test_an_interruption_is_no_failure(
    reported: str, noted: bool, ending: BaseException, tmp_path: Path, root: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: Any,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    shutil.copy(root / "studies/digits.yaml", tmp_path / "params.yaml")
    Path("reports").mkdir()
    Path("reports/index.html").write_text(f"<title>{reported}: report</title>")
    monkeypatch.setattr(sys, "argv", ["pipeline", "sweep"])

    def interrupted() -> None:
        raise ending

    with pytest.raises(SystemExit) as ended:
        errors.main(interrupted, command_line.after_failure)
    said = capsys.readouterr().err
    assert ended.value.code in (130, 143) and "failure" not in said
    assert ("is still the report of the study pets; `make study` replaces" in said) == noted
