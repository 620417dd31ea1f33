"""dvc.yaml runs what a change touches and nothing else, offline and without a remote.

The stages are those of the project, but each leaves only a copy of its own parameters, so that a
whole study takes a second.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.cli import main as dvc_main
from dvc.config import Config
from dvc.repo import Repo

from pipeline.study.datasets import SOURCES

STUB = """
import json, sys, yaml
from pathlib import Path

stage = sys.argv[1]
params = yaml.safe_load(open("params.yaml"))
files = [path for path in sorted(Path("data/raw").rglob("[!.]*")) if path.is_file()]
own = [path.read_text() for path in files]
seen = json.dumps([params["study"], params[stage], own if stage == "prepare" else None])
with open("../ran", "a") as ran:
    ran.write(stage + "\\n")
for name in sys.argv[2:]:
    path = Path(name)
    if path.suffix == ".json":
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"length": len(seen)}))
    elif path.suffix:
        path.write_text(seen)
    else:
        path.mkdir(parents=True, exist_ok=True)
        (path / "seen.txt").write_text(seen)
"""


def outputs(stage: dict[str, Any]) -> list[str]:
    """Paths that a stage makes, metrics first since they make the folder."""
    items = [*stage.get("metrics", []), *stage["outs"]]
    return [item if isinstance(item, str) else next(iter(item)) for item in items]


class Project:
    """A clone of the project with stages that take no time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str) -> str:
        """Run a command in the project and return what it printed."""
        result = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=120,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
                **self.environment(),
            },
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def dvc(self, *arguments: str) -> str:
        """Run a DVC command in this process, which has DVC already, and return what it printed."""
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.chdir(self.folder)
            for name in [name for name in os.environ if name.startswith("GIT_")]:
                patch.delenv(name)
            for name, value in self.environment().items():
                patch.setenv(name, value)
            assert dvc_main(list(arguments)) == 0, printed.getvalue()
        return printed.getvalue()

    def dvc_process(self, *arguments: str) -> str:
        """Run a DVC command that draws what it prints, which only a process gives whole."""
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def environment(self) -> dict[str, str]:
        """Environment variables of commands: every connection to the network is refused at once."""
        return {
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.folder.parent / "site"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
        }

    def commit(self) -> None:
        """Commit everything."""
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "state")

    def ran(self) -> list[str]:
        """Stages that ran since the last call."""
        log = self.folder.parent / "ran"
        stages = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return stages

    def change(self, pattern: str, replacement: str) -> None:
        """Change params.yaml."""
        file = self.folder / "params.yaml"
        text, count = re.subn(pattern, replacement, file.read_text(), count=1)
        assert count == 1
        file.write_text(text)


@pytest.fixture(scope="session")
def template(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after a study, committed."""
    folder = tmp_path_factory.mktemp("dvc") / "project"
    ignored = shutil.ignore_patterns("__pycache__", ".*cache")
    for name in ("gsa_core", "pipeline"):
        shutil.copytree(root / name, folder / name, ignore=ignored)
    for name in (".dvcignore", ".gitignore"):
        shutil.copy(root / name, folder / name)
    shutil.copy(root / "tests" / "study.yaml", folder / "params.yaml")
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/raw/.gitkeep").touch()
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(root / ".dvc" / name, folder / ".dvc" / name)
    (folder / "stub.py").write_text(STUB)
    document = yaml.safe_load((root / "dvc.yaml").read_text())
    for name, stage in document["stages"].items():
        stage["cmd"] = " ".join([sys.executable, "stub.py", name, *outputs(stage)])
    (folder / "dvc.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    project = Project(folder)
    project.run("git", "init", "-q", "-b", "main")
    project.commit()
    project.dvc("repro")
    assert project.ran() == ["prepare", "sweep", "confirm", "report"]
    project.commit()
    return project


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    """A copy of the project after a study, its cache included."""
    shutil.copytree(template.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def append_to(name: str, line: str = "# changed\n") -> Callable[[Project], None]:
    """A change to a file of code."""

    def change(project: Project) -> None:
        with (project.folder / name).open("a") as file:
            file.write(line)

    return change


def parameter(pattern: str, replacement: str) -> Callable[[Project], None]:
    """A change to a parameter."""
    return lambda project: project.change(pattern, replacement)


def no_change_of_meaning(project: Project) -> None:
    """What no stage depends on: were any of it seen, a stage would run."""
    project.change("workers: 2", "workers: 1")
    (project.folder / "pipeline" / "__pycache__").mkdir()


CHANGES = {
    "resources and a cache of Python": (no_change_of_meaning, []),
    "report parameter": (parameter("confidence: 0.95", "confidence: 0.9"), ["report"]),
    "report code": (append_to("pipeline/report/text/formatting.py"), ["report"]),
    "angles": (parameter("angles: 24", "angles: 8"), ["confirm", "report"]),
    "epochs": (parameter("epochs: 12", "epochs: 3"), ["sweep", "confirm", "report"]),
    "split": (
        parameter("test_fraction: 0.25", "test_fraction: 0.2"),
        ["prepare", "sweep", "confirm"],
    ),
    "attention": (append_to("gsa_core/attention/layers.py"), ["sweep", "confirm"]),
    "kernel": (
        append_to("gsa_core/attention/backends/kernel/window_attention.h", "// why\n"),
        ["sweep", "confirm"],
    ),
}
DEEP = ("report parameter", "angles", "split", "kernel")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(*case, id=name, marks=pytest.mark.deep if name in DEEP else ())
        for name, case in CHANGES.items()
    ],
)
def test_only_what_a_change_touches_runs_again(
    project: Project, change: Callable[[Project], None], expected: list[str]
) -> None:
    change(project)
    printed = project.dvc("repro")
    assert project.ran() == expected
    assert ("up to date" in printed) == (not expected)


def test_changes_to_own_data_are_noticed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(project.folder.parent / "site"))
    monkeypatch.chdir(project.folder)
    output = Path("data/prepare/seen.txt")
    image, arrays, shard, link = (
        Path("data/raw", name) for name in ("pets/cat/1.png", "a.npz", "p/train-0.parquet", "b.npz")
    )

    def is_stale() -> bool:
        with Repo() as repo:
            return "prepare" in repo.status(targets=["prepare"])

    def reproduce() -> str:
        with Repo() as repo:
            repo.reproduce("prepare")
        return output.read_text()

    elsewhere = project.folder.parent / "elsewhere"
    link.symlink_to(elsewhere)
    for path in (image, arrays, shard, elsewhere):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one")
    assert is_stale() and '["one", "one", "one", "one"]' in reproduce() and not is_stale()
    for path in (image, arrays, shard, elsewhere):
        path.write_text("two")  # of the same size
        assert is_stale()
        path.write_text("one")
    shard.with_name("train-1.parquet").write_text("one")
    assert is_stale()
    image.unlink()
    assert is_stale() and '["one", "one", "one", "one"]' in reproduce() and not is_stale()
    image.write_text("new")
    assert '"new"' in reproduce()
    image.write_text("one")  # the run cache must bring back nothing older
    assert '["one", "one", "one", "one", "one"]' in reproduce()


def test_own_images_of_another_size_are_prepared(project: Project) -> None:
    """DVC's run cache ignores keys called `size`, so it must not serve this stage."""
    project.change("prepare:\n", "prepare:\n  sources: {pets: {size: 8}}\n")
    for before, size in (("size: 8", 8), ("size: 8", 9), ("size: 9", "[8, 9]")):
        project.change(before, f"size: {size}")
        project.dvc("repro", "prepare")
        seen = (project.folder / "data/prepare/seen.txt").read_text()
        assert f'"size": {json.dumps(yaml.safe_load(str(size)))}' in seen


def test_published_files_in_the_folder_of_own_data_are_not_looked_at(root: Path) -> None:
    ignored = (root / ".dvcignore").read_text().split()
    published = {f"/data/raw/{source.raw}/" for source in SOURCES.values() if source.raw}
    assert {line for line in ignored if line.startswith("/data/")} == published


@pytest.mark.deep
def test_experiments_and_differences_work_in_a_clone_without_a_remote(
    project: Project, tmp_path: Path
) -> None:
    """`.ci/run` does the same in a clone of the real project."""
    project.run("git", "clone", "-q", str(project.folder), str(tmp_path / "elsewhere" / "clone"))
    clone = Project(tmp_path / "elsewhere" / "clone")
    clone.dvc("exp", "run", "-n", "short", "-S", "sweep.trials_per_cell=2", "-S", "study=tiny")
    assert clone.ran() == ["prepare", "sweep", "confirm", "report"]
    changed = json.loads(clone.dvc_process("params", "diff", "--json"))["params.yaml"]
    assert changed["sweep.trials_per_cell"] == {"old": 3, "new": 2, "diff": -1}
    assert "reports/metrics.json" in json.loads(clone.dvc_process("metrics", "diff", "--json"))
    assert "short" in clone.dvc_process("exp", "show", "--csv")
    assert clone.dvc_process("status").strip() == "Data and pipelines are up to date."


def test_results_do_not_reach_git_but_the_report_does(template: Project) -> None:
    tracked = template.run("git", "ls-files", "data", "reports").split()
    assert "reports/metrics.json" in tracked and "reports/index.html" in tracked
    kept = [name for name in tracked if name.startswith("data/")]
    assert kept == ["data/.gitignore", "data/raw/.gitkeep"]


def test_nothing_is_sent_to_anyone(root: Path) -> None:
    assert Config(str(root / ".dvc"))["core"]["analytics"] is False
