"""What `benchmarks/report.py` measures: a process and those that it forks, from outside."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import report

MEBIBYTE = 1 << 20


def holding(size: int) -> None:
    """Hold some memory for longer than the watcher sleeps."""
    held = bytearray(size * MEBIBYTE)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(1.5)


def forking(size: int, below: int) -> None:
    """Hold memory, beside a forked process that holds some, as those that draw do."""
    child = multiprocessing.get_context("fork").Process(target=holding, args=(below,))
    child.start()
    holding(size)
    child.join()


def alone() -> None:
    """Fail where another thread than the main one could hold a lock while it forks."""
    assert threading.active_count() == 1


def test_memory_is_that_of_the_process_and_of_those_below_it() -> None:
    none = report.watched(forking, 0, 0)
    both = report.watched(forking, 40, 60)
    assert 95 * MEBIBYTE < both - none < 130 * MEBIBYTE


def test_no_thread_watches_in_the_process_that_forks() -> None:
    report.watched(alone)


def test_a_failure_is_no_measurement() -> None:
    with pytest.raises(SystemExit, match="exit code 1"):
        report.watched(holding, "no number")
