"""A study whose trials ask for more than the machine has is named before it runs."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.study.schema import Resources
from pipeline.tools.support import room_warnings as module


def warned(environment: dict[str, str] | None = None, **asked: Any) -> list[str]:
    values = {"workers": 1, "cpus_per_trial": 1, "gpus_per_trial": 0, **asked}
    resources = Resources(**values, trial_timeout_seconds=60)
    return list(module.room_warnings(resources, environment or {}))


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores, no GPU."""
    monkeypatch.setattr(module, "_cores", lambda: 2)
    monkeypatch.setattr(module, "_gpus", lambda: 0)


def test_more_than_there_is_is_a_warning() -> None:
    [cores] = warned(cpus_per_trial=8)
    assert cores.startswith(
        "warning: resources.cpus_per_trial is 8 but this machine has 2 processor cores"
    )
    [gpus] = warned(gpus_per_trial=1)
    assert gpus.startswith("warning: resources.gpus_per_trial is 1 but this machine has 0 GPUs")


def test_what_fits_or_is_for_a_cluster_is_not() -> None:
    assert not warned(cpus_per_trial=2) and not warned(gpus_per_trial="auto")
    assert not warned({"RAY_ADDRESS": "10.0.0.7:6379"}, cpus_per_trial=8, gpus_per_trial=1)
    assert not warned(cpus_per_trial=8, address="cluster")
