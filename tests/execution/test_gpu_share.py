"""`gpus_per_trial: auto`: trials share a GPU as far as a probe finds memory and throughput."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fake_study
import pytest
from fake_study import small_data

from pipeline.execution import gpu_probe, gpu_share
from pipeline.execution.gpu_probe import (
    Case,
    Measured,
    ProbeFailed,
    best,
    measure_together,
    work,
)
from pipeline.execution.gpu_share import PROCESS, Gpu, auto_share, largest_trial, share_of
from pipeline.execution.run_stage import running_stage
from pipeline.search.space import configuration
from pipeline.study.cells import Cell
from pipeline.study.schema import Params

GPU = Gpu("a GPU", 80 * 10**9)


def device(rates: list[float], each: float = 1e9, memory: float = 80e9) -> Callable[..., Any]:
    """A device with images a second by the number of trials, each of which takes so many bytes."""

    def measure(count: int, *_: Any) -> Measured | None:
        measured.append(count)
        return (
            None if count * each > memory else Measured(count, rates[count.bit_length() - 1], each)
        )

    measured: list[int] = []
    measure.measured = measured  # type: ignore[attr-defined]
    return measure


@pytest.mark.parametrize(
    ("rates", "each", "most", "trials", "measured"),
    [
        # Eager and as graphs, as measured on an H100 (benchmarks/measured/h100).
        ([3541, 6724, 13342, 20980], 1e9, 64, 8, [1, 2, 4, 8]),
        ([31783, 29332, 29435, 29450], 1e9, 64, 1, [1, 2]),
        ([100, 190, 200, 300], 1e9, 64, 2, [1, 2, 4]),  # a tenth more, or no more trials
        ([100, 200, 400, 800], 15e9, 64, 4, [1, 2, 4]),  # eight would not fit
        ([100, 200, 400, 800], 1e9, 3, 2, [1, 2]),  # cores for three
        ([100, 200, 400, 800], 75e9, 64, 1, [1]),
    ],
)
def test_trials_double_while_memory_cores_and_throughput_allow(
    rates: list[float], each: float, most: int, trials: int, measured: list[int]
) -> None:
    fake = device(rates, each)
    found = best(fake, 80e9, PROCESS, most)
    assert found is not None and found.trials == trials
    assert fake.measured == measured  # type: ignore[attr-defined]


def test_what_is_not_seen_by_the_probe_counts_as_memory() -> None:
    rates = [100.0, 200.0, 400.0, 800.0]
    alone, images = (best(device(rates), 80e9, more, 64) for more in (0, 30e9))
    assert alone is not None and images is not None
    assert (alone.trials, images.trials) == (8, 2)


def test_out_of_memory_ends_the_doubling() -> None:
    rates = [100.0, 200.0, 400.0, 800.0]
    found = best(device(rates, 1e9, memory=3e9), 80e9, 0, 64)
    assert found is not None and found.trials == 2
    assert best(device(rates, 9e9, memory=3e9), 80e9, 0, 64) is None


def auto(**section: Any) -> Params:
    study = fake_study.study(group=["C1"], **section)
    resources = study.resources.model_copy(update={"gpus_per_trial": "auto"})
    return study.model_copy(update={"resources": resources})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_share, "load_dataset", lambda *a, **k: small_data())
    monkeypatch.setattr(gpu_share, "ROOT", tmp_path / "state")
    monkeypatch.setattr(gpu_share, "gpu_here", lambda: GPU)
    monkeypatch.setattr(gpu_share, "room_here", lambda cpus: 16)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_auto_is_what_the_probe_finds_and_measured_once(
    machine: None, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = device([3541, 6724, 13342, 20980])
    assert auto_share(auto(), fake) == 1 / 8
    assert "8 trials at once on each GPU (a GPU" in capsys.readouterr().out
    assert auto_share(auto(), fake) == 1 / 8
    assert fake.measured == [1, 2, 4, 8]  # type: ignore[attr-defined]
    other = device([100, 100])
    assert auto_share(auto(batch_size=16), other) == 1
    assert other.measured == [1, 2]  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [ProbeFailed("no word"), OSError("no process")])
def test_without_a_probe_memory_is_counted(
    machine: None, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(count: int, case: Case) -> Measured:
        raise error

    needed = largest_trial(auto(), "digits").counted
    images = 2 * small_data().train.images.nbytes
    assert auto_share(auto(), fails) == share_of(needed, GPU.total, images)
    assert f"the probe failed ({error})" in capsys.readouterr().out


def test_a_trial_that_does_not_fit_alone_gets_a_whole_gpu(machine: None) -> None:
    assert auto_share(auto(), device([1.0], 90e9)) == 1


def test_without_a_gpu_here_auto_is_none_or_one_of_a_cluster(
    machine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_share, "gpu_here", lambda: None)
    assert auto_share(auto(), device([])) == 0
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.7:6379")
    assert auto_share(auto(), device([])) == 1


@pytest.mark.parametrize(("stated", "given"), [("auto", 0.25), (1.0, 1.0), (0.0, 0.0)])
def test_a_stage_finds_the_share_only_where_the_study_leaves_it_open(
    stated: Any, given: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSA_ENGINE", "in-process")
    asked: list[None] = []

    def found() -> float:
        asked.append(None)
        return 0.25

    study = fake_study.study().resources.model_copy(update={"gpus_per_trial": stated})
    with running_stage("sweep", study, found) as (resources, engine):
        assert resources == study.model_copy(update={"gpus_per_trial": given, "workers": 1})
        assert engine.device == ("cuda" if given else "cpu")  # type: ignore[attr-defined]
    assert len(asked) == (stated == "auto")


def test_the_largest_trial_is_that_of_the_largest_values(machine: None) -> None:
    small, large = (largest_trial(auto(batch_size=size), "digits") for size in (8, 16))
    assert small.counted < large.counted < 2 * small.counted
    assert large.configuration["batch_size"] == 16
    assert large.configuration["channels"] == 12  # of 8 and 12
    json.dumps(asdict(large))


@pytest.mark.parametrize(
    ("said", "gpu"),
    [
        ("NVIDIA H100 80GB HBM3, 81559\n", Gpu("NVIDIA H100 80GB HBM3", 81559 * 2**20)),
        ("A, B, 10\nA, B, 20\n", Gpu("A, B", 10 * 2**20)),
        ("No devices were found\n", None),
        ("", None),
    ],
)
def test_the_first_gpu_is_asked_of_its_driver(
    said: str, gpu: Gpu | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert gpu_share.gpu_here() == gpu


def case(**changes: Any) -> Case:
    cell = Cell("gsa", "C1", "relative", 1, "stem")
    config = configuration(cell, {"channels": 4}, fake_study.study(), small_data())
    card = {**small_data().card, "counts": None}
    return Case({**config, **changes}, card, device="cpu", seconds=0.01)


def answers_of(asked: Case, *lines: str) -> list[dict[str, Any]]:
    said = io.StringIO()
    work(io.StringIO("\n".join([json.dumps(asdict(asked)), *lines])), said)
    return [json.loads(line) for line in said.getvalue().splitlines()]


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16", "training_images": 3}])
def test_a_process_of_the_probe_trains_when_it_is_told_to(changes: dict[str, Any]) -> None:
    ready, found = answers_of(case(**changes), "go")
    assert ready == {"ready": True}
    assert found["images_per_second"] > 0 and found["bytes"] == 0
    assert answers_of(case(**changes)) == [{"ready": True}]  # the other side is gone


def test_a_process_says_that_it_has_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(asked: Case) -> Any:
        raise MemoryError

    monkeypatch.setattr(gpu_probe, "_steps", full)
    assert answers_of(case(), "go") == [{"out_of_memory": True}]


@pytest.mark.deep
def test_processes_train_together() -> None:
    found = measure_together(2, case())
    assert found is not None
    assert (found.trials, found.bytes) == (2, 0) and found.images_per_second > 0


def test_a_process_that_ends_early_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nread case\necho 'RuntimeError: no CUDA here' >&2\n")
    program.chmod(0o755)
    monkeypatch.setattr(gpu_probe.sys, "executable", str(program))
    with pytest.raises(ProbeFailed, match="RuntimeError: no CUDA here"):
        measure_together(2, case())
