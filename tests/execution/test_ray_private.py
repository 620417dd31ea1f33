"""Private names of Ray: each exists in the Ray that is installed, whose version is bounded."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.execution import nodes, orphan_cleanup, ray_private

VARIABLES = [
    *ray_private.ENVIRONMENT,
    *ray_private.LOOPBACK,
    ray_private.MAX_PENDING,
    nodes.SUBMITTED_JOB,
    orphan_cleanup.RAYLET_VARIABLE,
]


@pytest.fixture(scope="module")
def ray_sources() -> str:
    """The text of the parts of Ray that read these variables."""
    import ray

    folder = Path(ray.__file__).parent
    return "".join(
        path.read_text(encoding="utf-8")
        for part in ("_private", "_common/usage", "tune", "train")
        for path in sorted((folder / part).glob("**/*.py"))
        if not path.name.startswith("test_")
    )


@pytest.mark.parametrize("name", VARIABLES)
def test_ray_reads_the_variable(name: str, ray_sources: str) -> None:
    assert re.search(rf"[\"']{name}[\"']", ray_sources)


def test_control_an_unknown_variable_is_not_found(ray_sources: str) -> None:
    assert "RAY_GSA_UNKNOWN" not in ray_sources


def test_names_of_the_worker_module_exist() -> None:
    import ray

    assert callable(ray._private.utils.set_sigterm_handler)
    assert isinstance(ray._private.worker._worker_logs_enabled, bool)
    assert ray._private.worker._global_node is None, "no Ray runs in this process"


def test_names_of_the_node_exist() -> None:
    from ray._private.node import Node

    assert callable(Node.get_logs_dir_path)
    assert "all_processes" in inspect.getsource(Node)


@pytest.mark.parametrize("name", ray_private.CONTROLLER_SETS)
def test_the_controller_has_the_set(name: str) -> None:
    from ray.tune.execution.tune_controller import TuneController

    assert re.search(rf"self\.{name}(: [^=]+)? = set\(\)", inspect.getsource(TuneController))


def test_the_list_of_the_controller_is_no_copy() -> None:
    from ray.tune.execution.tune_controller import TuneController

    trials = [SimpleNamespace(is_finished=lambda: False)]
    assert TuneController.get_trials(SimpleNamespace(_trials=trials)) is trials  # type: ignore[arg-type]


def test_finished_trials_are_dropped_in_place() -> None:
    ended, runs = (SimpleNamespace(is_finished=lambda done=done: done) for done in (True, False))
    trials = [ended, runs]
    sets = {name: _Bag([ended, runs]) for name in ray_private.CONTROLLER_SETS}
    ray_private.drop_finished(SimpleNamespace(get_trials=lambda: trials, **sets))
    assert trials == [runs] and all(bag.kept == [runs] for bag in sets.values())


class _Bag:
    """A set of namespaces, which have no hash."""

    def __init__(self, kept: list[SimpleNamespace]) -> None:
        self.kept = kept

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.kept)

    def difference_update(self, others: list[SimpleNamespace]) -> None:
        self.kept = [one for one in self.kept if one not in others]


def test_the_version_is_bounded_to_the_next_minor(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    [wanted] = [one for one in project["optional-dependencies"]["study"] if one.startswith("ray[")]
    pinned = re.search(r"^ray==(\d+)\.(\d+)", (root / "constraints.txt").read_text(), re.M)
    assert pinned is not None
    assert wanted.endswith(f",<{pinned[1]}.{int(pinned[2]) + 1}")


@pytest.mark.parametrize("local", [True, False])
def test_the_environment_is_set_before_ray_is_imported_and_the_users_stays(
    local: bool, root: Path
) -> None:
    code = (
        "import os, sys\nfrom pipeline.execution.ray_private import set_environment\n"
        f"set_environment({local})\nassert 'ray' not in sys.modules\n"
        "print(os.environ['RAY_AIR_NEW_OUTPUT'], os.environ['RAY_USAGE_STATS_ENABLED'],"
        "'RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER' in os.environ)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True,
        env={**os.environ, "RAY_AIR_NEW_OUTPUT": "1"},
    )  # fmt: skip
    assert done.stdout.split() == ["1", "0", str(local)]
