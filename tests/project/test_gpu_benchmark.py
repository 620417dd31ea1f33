"""The benchmark of a GPU, on a CPU and in small: what it writes, and how it ends.

`.ci/run` runs all of it; here that is left to `--full`.
"""

from __future__ import annotations

import gzip
import json
import math
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_modules import ROOT, benchmark_modules, idx

SECTIONS = {"environment": 1, "correctness": 2, "layers": 3, "models": 4, "digits": 5}


@pytest.fixture(scope="module")
def modules():
    yield from benchmark_modules()


@pytest.fixture
def gpu(modules):
    return modules.gpu


@pytest.fixture(scope="module")
def mnist(tmp_path_factory) -> Path:
    """A folder like MNIST's, of a few random images, one of its files not compressed."""
    folder, random = tmp_path_factory.mktemp("mnist"), np.random.default_rng(0)
    for part, count in (("train", 100), ("t10k", 60)):
        images = random.integers(0, 256, (count, 28, 28), np.uint8)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        labels = random.integers(0, 10, count, np.uint8)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def run(gpu, folder: Path, *arguments: str) -> tuple[int, dict[str, dict]]:
    """Exit status, and what was written, by section."""
    status = gpu.main(["--out", str(folder), "--device", "cpu", "--quick", *arguments])
    files = {file.stem.partition("-")[2]: file for file in folder.glob("*.json")}
    return status, {name: json.loads(file.read_text()) for name, file in files.items()}


@pytest.fixture(scope="module")
def whole(modules, mnist, tmp_path_factory):
    """One run of everything but torch's profiler of memory and large groups, most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules.gpu_correctness, "GROUPS", ("C4",))
        patch.setattr(modules.gpu_layers, "peak_bytes", lambda step: step() or 0)
        return run(modules.gpu, tmp_path_factory.mktemp("out"), "--data", str(mnist))


@pytest.mark.deep
def test_nothing_is_wrong(whole):
    status, found = whole
    wrong = [row for result in found.values() for row in result["rows"] if row.get("ok") is False]
    assert (wrong, status) == ([], 0)


@pytest.mark.deep
@pytest.mark.parametrize("name", SECTIONS)
def test_section_is_written_with_where_it_was_measured(name, whole):
    result = whole[1][name]
    assert set(result) == {"section", "rows", "seconds", "error", "cut_short", "status"}
    assert (result["section"], result["error"], result["status"]) == (name, "", 0)
    assert not result["cut_short"]
    assert result["rows"]
    for row in result["rows"]:
        assert {"device", "torch", "python", "commit"} <= set(row)
        assert name == "environment" or "dtype" in row


@pytest.mark.deep
def test_every_form_and_encoding_is_held_to_the_reference(whole, modules):
    rows = {row["check"]: row for row in whole[1]["correctness"]["rows"]}
    grid = [row for row in rows.values() if "equivariance" in row]
    assert len(grid) == len(modules.gpu_correctness.FORMS) * len(modules.gpu_correctness.ENCODINGS)
    for row in grid:
        assert row["cases"] == 1
        assert max(row["values"], row["gradients"], row["equivariance"]) <= 1e-12
    assert rows["more than 65,535 streams"]["cases"] > 65_535
    assert 0 < rows["joint in narrower numbers"]["float32 values"] < 1e-5
    assert 0 < rows["joint in narrower numbers"]["bfloat16 values"] < 0.1


@pytest.mark.deep
def test_layers_are_timed_by_every_way(whole):
    skipped, *rows = whole[1]["layers"]["rows"]
    assert (skipped["way"], skipped["skipped"]) == ("triton", "the kernels are for GPUs")
    ways = {row["way"] for row in rows}
    assert "published (reference implementation)" in ways
    assert {"joint, torch", "joint, written_out", "sdpa, whole image"} <= ways
    assert {row["width"] for row in rows} == {"10 a head", "32 a head", "64 a head"}
    assert all(row["ms"] > 0 and row["least_mb"] > 0 and row["roofline"] is None for row in rows)


@pytest.mark.deep
def test_digits_are_learned_from_idx_files(whole):
    *epochs, last = whole[1]["digits"]["rows"]
    assert [row["epoch"] for row in epochs] == [1]
    assert math.isfinite(epochs[0]["loss"])
    assert 0 <= last["test"] <= 1


@pytest.mark.deep
def test_whole_networks_are_timed_alone_and_together(whole, modules):
    rows = whole[1]["models"]["rows"]
    *alone, together = rows
    found = {(row["model"], row["pass"]) for row in alone}
    assert found == set(product(modules.gpu_models.NETWORKS, ("training", "evaluation")))
    assert all(row["images_s"] > 0 and row["way"] == "eager" for row in rows)
    assert together["processes"] == 1


def test_digits_are_trained_on_by_tf32_as_well(gpu, mnist, tmp_path):
    arguments = ["--only", "digits", "--data", str(mnist), "--tf32"]
    rows = run(gpu, tmp_path, *arguments)[1]["digits"]["rows"]
    assert [row["dtype"] for row in rows if "test" in row] == ["float32", "tf32"]
    assert {row["way"] for row in rows} == {"eager"}


def test_training_that_fails_is_a_row_and_the_next_goes_on(modules, mnist, tmp_path, monkeypatch):
    real = modules.gpu_digits.TrainingStep

    def fail(*arguments, precision):
        if precision == "float32":
            raise RuntimeError("CUDA error: misaligned address\nmore")
        return real(*arguments, precision=precision)

    monkeypatch.setattr(modules.gpu_digits, "TrainingStep", fail)
    arguments = ["--only", "digits", "--data", str(mnist), "--tf32"]
    status, found = run(modules.gpu, tmp_path, *arguments)
    first, *others = found["digits"]["rows"]
    assert (status, first["error"]) == (1, "RuntimeError: CUDA error: misaligned address")
    assert "test" in others[-1]


def section(gpu, *rows, error=None, seconds=60):
    """A section of these rows that ends with an error or, with none, waits."""

    def made(asked):
        yield from rows
        if error is None:
            time.sleep(60)
        raise error

    return gpu.Section(9, made, seconds)


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal memory access"), KeyError("x"), MemoryError()]
)
def test_failing_section_is_recorded_and_the_next_goes_on(error, gpu, tmp_path, monkeypatch):
    sections = (section(gpu, {"ms": 1.0}, error=error), gpu.SECTIONS[0])
    monkeypatch.setattr(gpu, "SECTIONS", sections)
    status, found = run(gpu, tmp_path)
    assert status == gpu.WRONG
    assert found["made"]["error"] == f"{type(error).__name__}: {error}"
    assert found["made"]["rows"][0]["ms"] == 1.0
    assert found["environment"]["status"] == 0
    assert not list(tmp_path.glob("*.tmp"))


def test_section_ends_with_its_time(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "SECTIONS", (section(gpu, {"ms": 1.0}, seconds=0.05), gpu.SECTIONS[0]))
    status = gpu.main(["--out", str(tmp_path), "--device", "cpu"])
    cut = json.loads((tmp_path / "9-made.json").read_text())
    assert (status, cut["cut_short"], cut["error"], len(cut["rows"])) == (
        gpu.CUT_SHORT,
        True,
        "",
        1,
    )
    assert (tmp_path / "1-environment.json").exists()


def test_all_sections_end_within_eight_minutes(gpu):
    assert sum(section.seconds for section in gpu.SECTIONS) <= 480


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--only", "1"], ["environment"]),
        (["--only", "environment", "digits"], ["digits", "environment"]),
        (["--only", "1", "5", "--skip", "5"], ["environment"]),
        (["--skip", "2", "layers", "1", "4"], ["digits"]),
    ],
)
def test_sections_are_chosen_by_number_or_name(arguments, left, gpu, tmp_path):
    status, found = run(gpu, tmp_path, *arguments)
    assert (status, sorted(found)) == (0, left)
    if "digits" in left:
        assert found["digits"]["rows"][0]["skipped"] == "no --data"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "6"], "invalid choice: '6'"),
        (["--data", "/nowhere"], "--data: got '/nowhere', which is no folder"),
        (["--peers", "/nowhere"], "--peers: got '/nowhere', which is no folder"),
        (["--device", "cuda"], "torch finds no GPU here"),
    ],
)
def test_wrong_argument_is_a_sentence(arguments, said, gpu, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        gpu.main(["--out", str(tmp_path), "--device", "cpu", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


SCRIPT = """
import runpy, sys
sys.path = [x for x in sys.path if x != {root!r}]
sys.meta_path = [x for x in sys.meta_path if "editable" not in repr(x).lower()]
sys.argv = ["gpu.py", "--out", {out!r}, "--device", "cpu", "--quick", "--only", "1"]
try:
    runpy.run_path({script!r}, run_name="__main__")
finally:
    print(sys.modules["gsa_core"].__file__)
"""


def test_copy_of_the_files_is_enough(tmp_path):
    """No installation of this package, and another folder to start in."""
    script = ROOT / "benchmarks" / "gpu.py"
    code = SCRIPT.format(root=str(ROOT), out=str(tmp_path), script=str(script))
    code = f"import sys; sys.path.insert(0, {str(script.parent)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(ROOT / "gsa_core" / "__init__.py")
    assert (tmp_path / "1-environment.json").exists()
