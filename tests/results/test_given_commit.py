"""The provenance of a result: its commit by git or as given, code, data and packages."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import fake_study
import pytest

from pipeline.common.errors import UserError
from pipeline.execution import run_stage as stage
from pipeline.results import provenance as module
from pipeline.results.provenance import COMMIT, given_commit, provenance
from pipeline.results.schemas import SCHEMA_VERSION

HASH = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(params=["no repository", "no git", "somebody else's repository"])
def elsewhere(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package in a folder whose commit git does not know."""
    folder = tmp_path / "job/pipeline"
    folder.mkdir(parents=True)
    (folder / "provenance.py").touch()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(module, "_ROOT", folder.parent)
    monkeypatch.setattr(module, "__file__", str(folder / "provenance.py"))
    if request.param == "no git":
        monkeypatch.setenv("PATH", "")
    if request.param == "somebody else's repository":
        (tmp_path / "dotfiles").touch()
        user = ["-c", "user.name=t", "-c", "user.email=t@t"]
        for command in (["init", "-q"], ["add", "dotfiles"], [*user, "commit", "-qm", "a"]):
            subprocess.run(["git", *command], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("given", "commit", "dirty"),
    [
        (None, None, None),
        ("", None, None),
        (HASH, HASH, False),
        (f"{HASH}-dirty", HASH, True),
        (64 * "a", 64 * "a", False),
    ],
)
def test_a_commit_is_given_where_git_knows_none(
    elsewhere: None,
    given: str | None,
    commit: str | None,
    dirty: bool | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(COMMIT, raising=False)
    if given is not None:
        monkeypatch.setenv(COMMIT, given)
    found = provenance({}, None)
    assert (found["git_commit"], found["git_dirty"]) == (commit, dirty)


def test_git_goes_before_what_is_given(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (root / ".git").exists():
        pytest.skip("no clone")
    known = provenance({}, None)["git_commit"]
    monkeypatch.setenv(COMMIT, HASH)
    assert known is not None and provenance({}, None)["git_commit"] == known


@pytest.mark.parametrize(
    "given", ["HEAD", HASH[:39], HASH[:12], HASH.upper(), f"{HASH}-dirt", f"{HASH}\n", f" {HASH}"]
)
def test_what_is_no_hash_is_refused_before_the_stage_begins(
    given: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(COMMIT, given)
    monkeypatch.chdir(tmp_path)
    study = fake_study.study()
    with (
        pytest.raises(UserError, match=r"GSA_COMMIT: got '.*; accepts the 40 hexadecimal digits"),
        stage.running_stage("sweep", study.resources, fake_study.no_share),
    ):
        pytest.fail("the stage began")
    assert capsys.readouterr().out == ""


def test_an_empty_variable_is_none() -> None:
    assert given_commit({COMMIT: ""}) == (None, None)


def test_provenance_names_code_data_and_packages() -> None:
    found = provenance({"sweep": {"epochs": 1}, "resources": {"workers": 2}}, {"a": 1})
    assert found["schema_version"] == SCHEMA_VERSION
    assert re.fullmatch("[0-9a-f]{64}", found["data_sha256"])
    assert found["torch"] and found["ray"] and found["optuna"] and found["machine"]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(("workers", "epochs", "same"), [(8, 1, True), (2, 2, False)])
def test_resources_are_no_part_of_what_was_run(workers: int, epochs: int, same: bool) -> None:
    one = provenance({"sweep": {"epochs": 1}, "resources": {"workers": 2}}, None)
    two = provenance({"sweep": {"epochs": epochs}, "resources": {"workers": workers}}, None)
    assert (one["params_sha256"] == two["params_sha256"]) is same
