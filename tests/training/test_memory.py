"""A trial that runs out of memory is tried once more in halves, says so, and harms no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_study
import numpy as np
import pandas as pd
import pytest
import torch
from fake_study import small_data

from pipeline.common.commands import parse
from pipeline.execution.engine import InProcess
from pipeline.execution.resumable_training import is_out_of_memory
from pipeline.results import records, schemas
from pipeline.search.space import configuration
from pipeline.study.cells import Cell
from pipeline.sweep import stage as sweep
from pipeline.tools import trial as reproduce
from pipeline.training import epoch
from pipeline.training.loop import train

CPU = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
ERRORS = [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(CPU)]
CELL = "gsa-C1-relative-d1-stem"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project folder with a small real data set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSA_QUIET", "1")
    for module in (sweep, reproduce):
        monkeypatch.setattr(module, "load_dataset", lambda *a, **k: small_data())
    fake_study.prepare_folder()


def limit_memory(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception, times: int) -> None:
    """Have batches of more images than fit raise, so many times."""
    to_pixels, failed = epoch.to_pixels, []

    def limited(images: np.ndarray, device: Any) -> Any:
        if len(images) > most and len(failed) < times:
            failed.append(len(images))
            raise error
        return to_pixels(images, device)

    monkeypatch.setattr(epoch, "to_pixels", limited)


def run() -> list[dict[str, Any]]:
    """Run two trials of one cell and return their rows."""
    params = fake_study.study(group=["C1"], trials_per_cell=2, epochs=1)
    sweep.sweep(params, InProcess())
    table = records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)
    return table.to_dict("records")


@pytest.mark.parametrize("error", ERRORS, ids=["host", "device", "allocator"])
def test_half_a_batch_at_a_time_where_a_whole_one_does_not_fit(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as limited:
        limit_memory(limited, 4, error, 1)
        first, second = run()
    assert (first["status"], first["batch_parts"]) == ("completed", 2)
    assert first["reason"].startswith("each batch was trained in halves after ")
    assert json.loads(first["configuration"])["batch_parts"] == 2
    assert first["peak_memory_bytes"] > 0
    assert (second["status"], second["batch_parts"]) == ("completed", 1)
    assert pd.isna(second["reason"])


def test_a_halved_trial_comes_again_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as limited:
        limit_memory(limited, 4, MemoryError(), 1)
        run()
    params = fake_study.study(group=["C1"])
    monkeypatch.setattr(reproduce, "load_params", lambda: params)
    with pytest.raises(SystemExit) as ending:
        reproduce.main(parse(["trial", "--cell", CELL, "--number", "0"]))
    assert ending.value.code == 0, capsys.readouterr().out


def test_a_second_time_is_a_failure_and_the_next_trial_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit_memory(monkeypatch, 3, torch.OutOfMemoryError("CUDA out of memory."), 2)
    first, second = run()
    assert first["status"] == "failed"
    assert first["reason"].startswith("OutOfMemoryError: CUDA out of memory.\n")
    assert first["reason"].endswith("in halves after OutOfMemoryError: CUDA out of memory.")
    assert first["peak_memory_bytes"] > 0
    assert second["status"] == "completed"


@pytest.mark.deep
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux what is taken")
def test_under_a_real_limit_it_is_trained_in_halves_and_the_next_succeeds() -> None:
    helpers = Path(__file__).parents[1] / "helpers"
    paths = [str(helpers), str(Path(__file__).parents[2])]
    # What is freed goes back at once: else it depends on chance how much room is left.
    malloc = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, str(helpers / "limited.py")],
        env={**os.environ, **malloc, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["status"] for row in rows["free"] + rows["limited"]] == 4 * ["completed"], rows
    assert [row["batch_parts"] for row in rows["free"] + rows["limited"]] == [1, 1, 2, 1]
    large = rows["limited"][0]
    assert large["reason"].startswith("each batch was trained in halves after ")
    assert large["peak_memory_bytes"] > 0


def test_other_errors_are_not_tried_again() -> None:
    assert all(map(is_out_of_memory, ERRORS))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_gradients_of_halves_add_up_to_those_of_the_whole() -> None:
    params = fake_study.study(batch_size=5, epochs=1)
    cell = Cell("gsa", "C1", "relative", 1, "pixel")  # its norms look at one image at a time
    config = configuration(cell, {"channels": 8}, params, small_data())
    whole, halves = (
        train({**config, "batch_parts": parts}, small_data()).model.state_dict() for parts in (1, 2)
    )
    for name in whole:
        torch.testing.assert_close(halves[name], whole[name], rtol=1e-4, atol=1e-6)
