"""Several GPUs, one study: each is busy until the last trial has begun."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks/scale_simulation.py"
    spec = importlib.util.spec_from_file_location("scale_simulation", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("on_each", [1, 2, 8])
@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
def test_gpus_work_until_the_last_trial_begins(
    gpus: int, on_each: int, simulation: ModuleType
) -> None:
    """With recorded times, and cells enough: one waits for the slowest of its ten trials."""
    times = simulation.recorded(simulation.RECORDED)
    study = simulation.Study(gpus, 40 * 40, 40, 600, 40, on_each=on_each)
    found = simulation.simulate(study, times)
    assert found["before_tail"] > 0.99
    assert found["gpus"] <= found["before_tail"] + 1e-3


def test_too_few_cells_leave_gpus_idle_between_generations(simulation: ModuleType) -> None:
    times = simulation.recorded(simulation.RECORDED)
    few = simulation.simulate(simulation.Study(8, 100, 1, 600, 40, on_each=2), times)
    assert few["before_tail"] < 0.7


def test_equal_times_are_what_they_add_up_to(simulation: ModuleType) -> None:
    study = simulation.Study(2, 6, 3, 3600, 0, on_each=2)
    found = simulation.simulate(study, simulation.np.ones(1))
    # Four trials, then two: of four places two are idle in the second hour.
    assert found == {"hours": 2.0, "gpus": 0.75, "driver": 0.0, "before_tail": 1.0}


@pytest.mark.ray
@pytest.mark.deep
def test_ray_gives_each_gpu_its_share_of_trials(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(HELPERS / "fake_gpus.py"), "2", "0.5", "12"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HELPERS.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout.splitlines()[-1])
    assert len(rows) == 12 and {row["device"] for row in rows} == {"cuda"}
    assert Counter(row["gpu"] for row in rows).keys() == {"0", "1"}
    for row in rows:
        at_once = [
            other["gpu"] for other in rows if other["begun"] <= row["begun"] < other["ended"]
        ]
        assert max(Counter(at_once).values()) <= 2
