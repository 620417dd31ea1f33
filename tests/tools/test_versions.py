"""Pinned versions: kept whole, compared without a checkout, brought back from a remote, offline."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.cli import main as dvc_main
from synthetic import Shape, write_study

from pipeline.common.commands import parse
from pipeline.common.errors import UserError
from pipeline.tools import compare, pin
from pipeline.tools import provenance as trace
from pipeline.tools.support.history import open_version

PARAMS = "study: digits\nsweep:\n  epochs: {epochs}\nresources:\n  workers: {workers}\n"
STAGES = """stages:
  prepare:
    cmd: python -I -S make.py prepare
    deps: [make.py]
    outs: [data/prepare]
  confirm:
    cmd: python -I -S make.py confirm
    deps: [make.py, data/prepare]
    params: [study, sweep.epochs]
    outs: [data/confirm]
"""
MAKE = """# makes a study of what lies ready
import shutil, sys, pathlib
ready = pathlib.Path("../ready")
if sys.argv[1] == "prepare":
    card = pathlib.Path("data/prepare/digits/card.json")
    card.parent.mkdir(parents=True)
    card.write_text('{"counts": {"train": 100, "test": 20}}')
else:
    epochs = "1" if "epochs: 1" in pathlib.Path("params.yaml").read_text() else "2"
    shutil.copytree(ready / epochs, "data/confirm")
"""


def write_ready(folder: Path) -> None:
    """Write the results of both versions, since a process of a stage would import much for it."""

    def worse(tables: dict[str, list[dict[str, Any]]]) -> None:
        for row in tables["runs"]:
            row["test_accuracy"] -= 0.05

    shape = Shape(
        groups=("C1", "C4"), encodings=("none",), depths=(1,), epochs=1, seeds=range(101, 109)
    )
    for epochs, change in (("1", worse), ("2", lambda tables: None)):
        data = write_study(folder / f"scratch{epochs}", shape, change)
        (data / "confirm").rename(folder / epochs)


class Scratch:
    """A small project with DVC, of stages that make rows up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
            "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
            "GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t",
            "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9",
        }  # fmt: skip

    def run(self, *command: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            command, cwd=cwd or self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def dvc(self, *arguments: str, cwd: Path | None = None) -> None:
        """Run a DVC command in this process, which needs not import DVC again."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(cwd or self.folder)
            for name in [name for name in os.environ if name.startswith("GIT_")]:
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            assert dvc_main(list(arguments)) == 0

    def params(self, epochs: int, workers: int = 2) -> None:
        text = PARAMS.format(epochs=epochs, workers=workers)
        (self.folder / "params.yaml").write_text(text)

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "state")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """Two pinned versions: one of 2 epochs, one of 1, other code and other workers."""
    scratch = Scratch(tmp_path_factory.mktemp("versions") / "project")
    scratch.folder.mkdir()
    scratch.run("git", "init", "-q", "-b", "main")
    scratch.dvc("init", "-q")
    (scratch.folder.parent / "ready").mkdir()
    write_ready(scratch.folder.parent / "ready")
    (scratch.folder / "make.py").write_text(MAKE)
    (scratch.folder / "dvc.yaml").write_text(STAGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(scratch.folder)
        for key, value in scratch.environment.items():
            patch.setenv(key, value)
        for name, epochs in (("first", 2), ("second", 1)):
            scratch.params(epochs, workers=epochs)
            if name == "second":
                with (scratch.folder / "make.py").open("a") as file:
                    file.write("# another line\n")
            scratch.commit()
            scratch.dvc("repro", "-q")
            pin.main(parse(["pin", name, "-m", f"{epochs} epochs"]))
    return scratch


@pytest.fixture
def inside(project: Scratch, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    monkeypatch.chdir(project.folder)
    for key, value in project.environment.items():
        monkeypatch.setenv(key, value)
    return project


def compared(first: str, second: str) -> str:
    return "\n".join(compare.compare(open_version(first), open_version(second)))


def test_a_pin_is_an_annotated_tag_of_a_commit_with_the_results(inside: Scratch) -> None:
    assert inside.run("git", "cat-file", "-t", "first").strip() == "tag"
    assert "dvc.lock" in inside.run("git", "ls-tree", "--name-only", "first")
    assert inside.run("git", "tag", "-l", "--format=%(contents)", "first").strip() == "2 epochs"
    assert inside.run("git", "status", "--porcelain") == ""


def test_a_pin_without_a_remote_says_what_a_clone_lacks(
    inside: Scratch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pin, "pin", lambda *_: "0" * 40)
    pin.main(parse(["pin", "third", "-m", "text"]))
    said = capsys.readouterr().out.splitlines()[-1]
    assert "a clone of this version does not know where its results are" in said
    assert said.endswith("commit .dvc/config and pin under another name")


def test_compare_says_what_changed_and_whether_it_matters(inside: Scratch) -> None:
    text = compared("first", "second")
    assert "sweep.epochs: 2 -> 1" in text
    assert "resources.workers: 2 -> 1   (where and how fast: no result)" in text
    assert "data: the same" in text
    assert "make.py: changed (prepare, confirm)" in text
    upright = next(line for line in text.splitlines() if "gsa-C4-none-d1-stem, upright" in line)
    assert "clearly worse: \N{MINUS SIGN}5.0 points" in upright and "8 seeds" in upright
    assert "2 of 2 changed mean accuracies differ" in text
    assert inside.run("git", "status", "--porcelain") == "", "nothing is checked out"


def test_results_are_compared_by_the_parameters_that_made_them(inside: Scratch) -> None:
    inside.params(3, workers=1)
    inside.commit()
    try:
        text = compared("first", "HEAD")
    finally:
        inside.run("git", "reset", "-q", "--hard", "HEAD~1")
    assert "sweep.epochs: 2 -> 1" in text
    assert "HEAD: its params.yaml is of a study that was not run: sweep.epochs: 1 -> 3" in text


def test_a_version_equals_itself(inside: Scratch) -> None:
    text = compared("second", "workspace")
    assert text.splitlines()[1:] == [
        "  parameters: the same", "  data: the same", "  code: the same",
        "  environment: the same", "  results: the same",
        "  changed: nothing; no result changed: all rows are equal to the last digit",
    ]  # fmt: skip


def test_more_than_two_are_compared_with_the_first(
    inside: Scratch, capsys: pytest.CaptureFixture[str]
) -> None:
    compare.main(parse(["compare", "first", "second", "first"]))
    heads = [line for line in capsys.readouterr().out.splitlines() if line.startswith("first")]
    assert len(heads) == 2


@pytest.mark.parametrize(
    ("name", "message"), [("first", "pinned already"), ("a b", "cannot be a tag"), ("-x", "cannot")]
)
def test_names_are_checked(inside: Scratch, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pin.pin(name, "again")


def test_changes_and_stale_results_are_refused(inside: Scratch) -> None:
    inside.params(3)
    with pytest.raises(UserError, match=r"no version would hold \(params\.yaml\)"):
        pin.pin("third", "no")
    inside.commit()
    with pytest.raises(UserError, match="out of date"):
        pin.pin("third", "no")
    assert "third" not in inside.run("git", "tag")
    inside.run("git", "reset", "-q", "--hard", "second")


def test_an_unknown_version_lists_the_tags(inside: Scratch) -> None:
    with pytest.raises(UserError, match=r"'frist' is no version that git knows .*second"):
        open_version("frist")


@pytest.mark.deep
def test_a_remote_brings_a_version_back(inside: Scratch, tmp_path: Path) -> None:
    inside.dvc("remote", "add", "-q", "--default", "--local", "store", str(tmp_path / "store"))
    inside.dvc("push", "-q", "--all-tags")
    clone = tmp_path / "clone"
    inside.run("git", "clone", "-q", "--branch", "first", str(inside.folder), str(clone))
    inside.dvc("remote", "add", "-q", "-d", "--local", "store", str(tmp_path / "store"), cwd=clone)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(clone)
        with pytest.raises(UserError, match="dvc fetch --all-tags"):
            open_version("second").outputs("data/confirm")
    inside.dvc("pull", "-q", cwd=clone)
    path = clone / "data" / "confirm" / "digits" / "runs.parquet"
    assert path.read_bytes() == open_version("first").outputs("data/confirm")[
        "digits/runs.parquet"].read_bytes()  # fmt: skip


def test_rows_of_an_older_schema_are_named(
    inside: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.results.records.SCHEMA_VERSION", 99)
    text = compared("first", "second")
    assert "has schema version" in text and "'99'" in text
    assert "results not compared" in text


def test_provenance_of_figures_and_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_study(tmp_path, Shape(groups=("C1",), encodings=("none",), depths=(1,), epochs=1))
    monkeypatch.chdir(tmp_path)
    for what in ("tradeoff", "reports/figures/tradeoff.svg", "gsa-C1-none-d1-stem-seed101",
                 "digits/gsa-C1-none-d1-stem-trial0"):  # fmt: skip
        text = "\n".join(trace.trace(what))
        assert "commit 0123456789abcdef" in text and "parameters sha256 aaaa" in text
    with pytest.raises(UserError, match="did you mean 'tradeoff'"):
        list(trace.trace("tradeof"))
    with pytest.raises(UserError, match="no run 7 of the cell"):
        list(trace.trace("gsa-C1-none-d1-stem-seed7"))
