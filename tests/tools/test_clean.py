"""Clean removes what no version needs, when asked to, and nothing else."""

from __future__ import annotations

import json
import subprocess
from argparse import Namespace
from hashlib import md5
from pathlib import Path

import fake_study
import pytest

from pipeline.common.commands import parse
from pipeline.common.errors import UserError
from pipeline.confirm import stage as confirm
from pipeline.execution.stage_inputs import read_cards
from pipeline.execution.state_folder import stage_lock, state_folder
from pipeline.sweep import stage as sweep
from pipeline.tools import clean

STORE = Path(".dvc/cache/files/md5")


def git(*arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], check=True,
        capture_output=True,
    )  # fmt: skip


def stored(content: str, kind: str = "") -> str:
    checksum = md5(content.encode()).hexdigest() + kind
    path = STORE / checksum[:2] / checksum[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o444)
    return checksum


def output(name: str) -> str:
    """A folder of one file in the cache; returns the checksum of its list."""
    entries = [{"md5": stored(f"rows of {name}"), "relpath": "rows.parquet"}]
    return stored(json.dumps(entries), ".dir")


def lock(checksum: str) -> None:
    out = f"    - path: data/sweep\n      md5: {checksum}\n"
    Path("dvc.lock").write_text(f"schema: '2.0'\nstages:\n  sweep:\n    cmd: x\n    outs:\n{out}")


def commit(name: str) -> None:
    git("add", "--all", "--", "dvc.lock")
    git("commit", "--allow-empty", "--message", name)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with one pinned version, one older result and one in the folders now."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clean, "load_params", fake_study.study)
    monkeypatch.setattr(clean, "run_dvc", lambda *_: str(tmp_path / ".dvc/cache"))
    monkeypatch.setattr(clean.sys.stdin, "isatty", lambda: False, raising=False)
    git("init", "--quiet")
    Path(".gitignore").write_text("/.dvc/\n/.state/\n/data/\n")
    fake_study.prepare_folder()
    lock(output("a tag"))
    commit("pinned")
    git("tag", "pinned")
    lock(output("nobody"))
    commit("between")
    lock(output("head"))
    commit("head")
    lock(output("now"))
    params = fake_study.study()
    (card,) = read_cards(params.prepare).values()
    for stage, definition in (("sweep", sweep.definition(params, card)),
                              ("confirm", confirm.definition())):  # fmt: skip
        for made in (definition, {**definition, "older": True}):
            (state_folder(stage, made) / "journal.log").write_text("x" * 1000)
    return tmp_path


def rows() -> set[str]:
    found = (path.read_text() for path in STORE.glob("??/*"))
    return {text.removeprefix("rows of ") for text in found if text.startswith("rows of ")}


def older() -> list[str]:
    found = [path for path in Path(".state").glob("*/*/definition.json")]
    return sorted(path.parts[1] for path in found if '"older": true' in path.read_text())


def run(*arguments: str) -> None:
    clean.main(parse(["clean", *arguments]))


def test_only_what_no_version_needs_is_removed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--yes")
    assert rows() == {"a tag", "head", "now"}
    assert older() == []
    assert len(list(Path(".state").glob("*/*/journal.log"))) == 2, "those that go on are kept"
    said = capsys.readouterr().out
    assert "data or code: 2, " in said and "no version refers to: 2, " in said
    assert "rows of" not in said and str(STORE) in said
    run("--yes")
    assert "removed" not in capsys.readouterr().out


def test_nothing_is_removed_without_an_answer(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    assert "give --yes to remove it\nnothing was removed" in capsys.readouterr().out
    assert "nobody" in rows() and older() == ["confirm", "sweep"]


@pytest.mark.parametrize(
    ("answer", "removed"), [("y", True), ("yes", True), ("", False), ("n", False)]
)
def test_it_asks_at_a_terminal(
    project: Path, monkeypatch: pytest.MonkeyPatch, answer: str, removed: bool
) -> None:
    monkeypatch.setattr(clean.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    run()
    assert ("nobody" not in rows()) == removed == (older() == [])


@pytest.mark.parametrize("named", ["branch", "stash", "experiment", "file of dvc add"])
def test_whatever_has_a_name_is_a_version(project: Path, named: str) -> None:
    if named == "branch":
        git("branch", "side", "HEAD~1")
    elif named == "experiment":
        git("update-ref", "refs/exps/ab/longer", "HEAD~1")
    elif named == "stash":
        lock(output("nobody"))
        git("stash")
        lock(output("now"))
    else:
        out = f"outs:\n- md5: {output('nobody')}\n  path: mine\n"
        Path("mine.dvc").write_text(out)
    run("--yes")
    assert rows() == {"a tag", "head", "now", "nobody"}


@pytest.mark.parametrize("fault", ["no list", "damaged lock"])
def test_nothing_is_removed_where_a_version_does_not_say_what_it_needs(
    project: Path, fault: str
) -> None:
    before = rows()
    if fault == "no list":
        lock("0" * 32 + ".dir")
    else:
        Path("dvc.lock").write_text("stages: [")
    with pytest.raises(UserError, match=r"dvc\.lock"):
        run("--yes")
    assert rows() == before and older() == ["confirm", "sweep"]


@pytest.mark.parametrize("committed", [True, False])
def test_outputs_that_git_holds_are_not_looked_for_in_the_cache(
    project: Path, committed: bool
) -> None:
    Path("reports").mkdir()
    Path("reports/page.html").write_text("a page")
    text = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(f"{text}    - path: reports\n      md5: {'1' * 32}.dir\n")
    git("add", "--force", "reports", "dvc.lock")
    if committed:
        commit("report")
    run("--yes")
    assert "now" in rows() and "nobody" not in rows()


def test_results_of_a_cloned_branch_that_were_never_here_stop_nothing(project: Path) -> None:
    now = Path("dvc.lock").read_text()
    lock("0" * 32 + ".dir")
    commit("theirs")
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    git("reset", "--soft", "HEAD~1")
    Path("dvc.lock").write_text(now)
    run("--yes")
    assert "now" in rows() and "a tag" in rows() and "nobody" not in rows()


@pytest.mark.parametrize("stage", ["sweep", "confirm"])
def test_work_of_a_running_stage_is_left(
    project: Path, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage_lock(stage):
        run("--yes")
    assert f"{stage} is running here (pid" in capsys.readouterr().out
    assert older() == [stage]


def test_without_prepared_data_no_sweep_is_old(project: Path) -> None:
    (project / "data/prepare/digits/card.json").unlink()
    run("--yes")
    assert older() == ["sweep"]


def test_a_cache_or_state_that_others_may_share_is_left(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    away = tmp_path_factory.mktemp("shared")
    monkeypatch.setattr(clean, "run_dvc", lambda *_: str(away))
    monkeypatch.setattr(clean, "ROOT", away)
    run("--yes")
    assert rows() == {"a tag", "nobody", "head", "now"} and older() == ["confirm", "sweep"]
    assert "outside of this project" in capsys.readouterr().out


def test_it_takes_no_other_argument() -> None:
    assert parse(["clean", "--yes"]) == Namespace(command="clean", yes=True)
    with pytest.raises(UserError, match="got '--all'"):
        parse(["clean", "--all"])
