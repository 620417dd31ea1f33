"""Preparing is killed, crowded and refused by the disk: nothing half, nothing twice."""

from __future__ import annotations

import errno
import io
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from images import fill, own

from pipeline.common.errors import UserError
from pipeline.common.progress import StepProgress
from pipeline.dataset.store import SPLITS, load_dataset
from pipeline.prepare import reading as pool
from pipeline.prepare import stage as prepare
from pipeline.prepare.sources import image_files as files_of_images
from pipeline.prepare.stage import prepare_all
from pipeline.study.params import load_params


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CHUNK_IMAGES", 4)


@pytest.mark.usefixtures("small_chunks")
def test_what_was_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = own(fill(tmp_path / "pets"))
    prepare_all(settings, tmp_path / "whole/prepare")
    decode, read = files_of_images.decode, []

    def counting(stop_after: int) -> Any:
        def one(file: Path, target: Any) -> Any:
            if len(read) >= stop_after:
                raise KeyboardInterrupt
            read.append(file)
            return decode(file, target)

        return one

    monkeypatch.setattr(files_of_images, "decode", counting(21))
    with pytest.raises(KeyboardInterrupt):
        prepare_all(settings, tmp_path / "prepare")
    assert not (tmp_path / "prepare").exists()
    monkeypatch.setattr(files_of_images, "decode", counting(1000))
    first = len(read)
    prepare_all(settings, tmp_path / "prepare")
    # Chunks are of four images; at most one a core was under way.
    assert first == 21 and len(read) - first <= 40 - 21 + 4 * pool.cores()
    assert tree(tmp_path / "prepare/mine") == tree(tmp_path / "whole/prepare/mine")
    assert not (tmp_path / ".prepare.work.tmp").exists()


@pytest.mark.usefixtures("small_chunks")
def test_changed_images_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = own(fill(tmp_path / "pets"))
    monkeypatch.setattr(prepare, "make_splits", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare_all(settings, tmp_path / "prepare")
    monkeypatch.undo()
    pixels = (tmp_path / "pets/dog/001.png").read_bytes()
    (tmp_path / "pets/cat/001.png").write_bytes(pixels)
    prepare_all(settings, tmp_path / "prepare")
    card = load_dataset(tmp_path / "prepare/mine", SPLITS).card
    assert card["duplicates"]["images"] == 1


def _interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def study(tmp_path: Path, root: Path) -> dict[str, Any]:
    """A study of a folder of images, and what runs its preparation."""
    values = yaml.safe_load((root / "studies/digits.yaml").read_text())
    settings = own(fill(tmp_path / "pets", 120), size=256)
    values["prepare"] = settings.model_dump(mode="json", exclude_unset=True)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    return {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(root)}}


def test_killed_at_any_moment_it_leaves_nothing_that_looks_whole(
    tmp_path: Path, root: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--full` also before anything is read."""
    options = study(tmp_path, root)
    command = [sys.executable, "-m", "pipeline.prepare"]
    output = tmp_path / "data/prepare"
    for chunks in (0, 2) if pytestconfig.getoption("--full") else (2,):
        process = subprocess.Popen(
            command, **options, stdout=subprocess.DEVNULL, start_new_session=True
        )
        work = tmp_path / "data/.prepare.work.tmp/mine/all"
        limit = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < limit:
            if (work / "images.npy").exists() and len(list(work.glob("*.npz"))) >= chunks:
                break
            time.sleep(0.002)
        assert process.poll() is None, "it ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not output.exists()
    monkeypatch.chdir(tmp_path)
    prepare.main(load_params())
    load_dataset(output / "mine", SPLITS, verify=True)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["prepare"]


def test_a_second_preparation_at_once_is_refused(tmp_path: Path) -> None:
    settings = own(fill(tmp_path / "pets"))
    refused = pytest.raises(UserError, match="another process is preparing it")
    with prepare.work_folder(tmp_path / "prepare"), refused:
        prepare_all(settings, tmp_path / "prepare")
    prepare_all(settings, tmp_path / "prepare")


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_is_named(
    call: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = own(fill(tmp_path / "pets", 6))

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch, pytest.raises(UserError) as error:
        patch.setattr(os, call, refuse)
        prepare_all(settings, tmp_path / "prepare")
    assert ": cannot write " in str(error.value) and "run the same command again" in str(
        error.value
    )
    assert not (tmp_path / "prepare").exists()
    prepare_all(settings, tmp_path / "prepare")


@pytest.mark.parametrize("limit", [1 << 16, 5 << 18])
def test_a_disk_that_is_full_before_the_end_is_one_sentence(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the array of all images is written, and when one split is."""
    settings = own(fill(tmp_path / "pets", 120), size=64)
    known = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, known[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*run the same command again"):
            prepare_all(settings, tmp_path / "prepare")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, known)
    assert not (tmp_path / "prepare").exists()


def test_progress_tells_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    progress = StepProgress("mine", "reading", 1000, already=200, clock=lambda: now[0])
    for seconds in (1, 59, 61, 70, 122):
        now[0] = seconds
        progress.add(100)
    assert capsys.readouterr().out.splitlines() == [
        "prepare: mine: reading: resuming after 200 of 1,000 images",
        "prepare: mine: reading: 500 of 1,000 images, 5 images/s, 1.7 min left",
        "prepare: mine: reading: 700 of 1,000 images, 4 images/s, 73 s left",
    ]


def test_progress_is_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, now = io.StringIO(), [0.0]
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "70")
    progress = StepProgress("mine", "reading", 400, clock=lambda: now[0])
    for now[0] in (0.1, 1.0, 1.2, 2.0):
        progress.add(100)
    frames = terminal.getvalue().split("\x1b[K")
    assert frames == [
        "prepare: mine: reading: [##########..........] 200 of 400 images, 200"[:69], "\r", ""
    ]  # fmt: skip
    assert "\n" not in terminal.getvalue()


def test_moments_do_not_see_the_test(tmp_path: Path) -> None:
    prepare_all(own(fill(tmp_path / "pets")), tmp_path / "prepare")
    data = load_dataset(tmp_path / "prepare/mine", SPLITS)
    pixels = np.asarray(data.train.images) / 255
    np.testing.assert_allclose(data.card["mean"], pixels.mean((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(data.card["std"], pixels.std((0, 2, 3)), rtol=1e-9)
