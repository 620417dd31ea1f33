"""Real processes: dead callers, drivers and workers. Signals and locks: chaos/test_drivers.py."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import fake_study
import pandas as pd
import psutil
import pytest
from stages import KEYS, Stage, is_running, listening

from pipeline.execution.engine import InProcess
from pipeline.execution.orphan_cleanup import started_by
from pipeline.results import records, schemas
from pipeline.sweep import stage as sweep


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The trials of a sweep that nothing happened to."""
    return swept_here(tmp_path_factory.mktemp("whole"))


def swept_here(folder: Path) -> pd.DataFrame:
    """Sweep in this process, in a folder that may have a part of the trials; return all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GSA_QUIET", "1")
        patch.setenv("FAKE_STARTS", str(folder / "starts.txt"))
        patch.setattr(sweep, "load_dataset", fake_study.fake_load)
        fake_study.prepare_folder()
        sweep.sweep(fake_study.study(), InProcess(), fake_study.fake_trial)
    return records.read(folder / "data/sweep/digits/trials.parquet", schemas.TRIALS)


def wait_for_the_end(pids: Callable[[], list[int]]) -> None:
    """Wait until none of these processes is there any more."""
    end = time.monotonic() + 20
    while left := [pid for pid in pids() if is_running(pid)]:
        assert time.monotonic() < end, f"still there: {left}"
        time.sleep(0.1)


def test_the_stage_ends_when_the_command_that_started_it_is_gone(stage: Stage) -> None:
    shell = stage.start(seconds=0.3, shell=True)
    stage.wait_for(1)
    pid = int((stage.folder / "pid").read_text())
    shell.kill()
    shell.wait()
    wait_for_the_end(lambda: [pid])
    assert "ended by SIGTERM" in stage.output()


@pytest.mark.ray
def test_faults_of_workers_are_rows_or_retries(stage: Stage, pytestconfig: pytest.Config) -> None:
    """Of two trials a cell; `--full` does four, of which a cell that always fails is spared one."""
    count, workers = (4, 2) if pytestconfig.getoption("--full") else (2, 1)
    more = {"FAKE_TRIALS": str(count), "FAKE_WORKERS": str(workers)}
    process = stage.start("sweep", "faulty_trial", "3", ray=True, more=more)
    stage.wait_for(1)
    family = psutil.Process(process.pid).children(recursive=True)
    assert listening({process.pid, *(child.pid for child in family)}) <= {"127.0.0.1"}
    assert process.wait(240) == 0, stage.output()
    wait_for_the_end(lambda: [child.pid for child in family])
    trials = stage.trials().set_index("group")
    assert trials.groupby("group")["status"].value_counts().to_dict() == {
        ("C1", "failed"): count,
        ("C4", "diverged"): count,
        ("D4", "completed"): count - 1,
        ("D4", "timeout"): 1,
    }
    reasons = trials.loc["C1", "reason"]
    assert reasons.str.contains("ValueError: this cell always fails\n", regex=False).all()
    executed, spared = stage.starts(), reasons.str.startswith("not run: ").sum()
    assert spared <= 1, "the cell was given up before its third error"
    only = (3 * count - spared, 3 * count + 1 - spared)
    assert (len(executed), executed.total()) == only, "only the killed trial is retried"
    assert "a worker process died in digits gsa-D4" in stage.output()
    heard = [x for x in stage.output().splitlines() if not re.match(r"sweep: |sweep +\d+/", x)]
    assert heard == [], "Ray was heard"


@pytest.mark.ray
@pytest.mark.deep
def test_a_killed_driver_leaves_no_process_and_loses_nothing(
    stage: Stage, whole: pd.DataFrame
) -> None:
    driver = stage.start(ray=True, seconds=0.5, more={"FAKE_WORKERS": "1"})
    stage.wait_for(5)
    family = psutil.Process(driver.pid).children(recursive=True)
    raylet = next(child.pid for child in family if child.name() == "raylet")
    assert started_by(raylet)
    assert listening({driver.pid, *(child.pid for child in family)}) <= {"127.0.0.1"}
    driver.kill()
    driver.wait()
    wait_for_the_end(lambda: started_by(raylet))
    before = stage.starts().total()
    # No process of Ray is left that a second start could meet: the rest needs none.
    pd.testing.assert_frame_equal(swept_here(stage.folder)[KEYS], whole[KEYS])
    assert stage.starts().total() <= 12 + 2, "more than what was in flight ran again"
    assert stage.starts().total() > before


@pytest.mark.deep
def test_a_command_that_is_gone_before_the_stage_begins_is_missed(stage: Stage) -> None:
    shell = stage.start(seconds=0.3, shell=True)
    end = time.monotonic() + 60
    while not (stage.folder / "pid").exists() or not (stage.folder / "pid").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    pid = int((stage.folder / "pid").read_text())
    # It has begun to import: our first module is there, the stage is not.
    while "fake_study" not in " ".join(psutil.Process(pid).cmdline()) or not imported(pid):
        assert time.monotonic() < end
        time.sleep(0.01)
    shell.kill()
    shell.wait()
    wait_for_the_end(lambda: [pid])
    assert "the command or shell that started this is gone" in stage.output()


def imported(pid: int) -> bool:
    """Whether a process has mapped pyarrow, which comes after the first line of `pipeline`."""
    return "libarrow" in Path(f"/proc/{pid}/maps").read_text()
