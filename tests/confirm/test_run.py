"""A whole run on sixteen images: what it brings fits the tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fake_study
import pytest

from pipeline.confirm.measures.predictions import CONDITIONS, rows
from pipeline.confirm.run import run_confirmation
from pipeline.execution.tasks import Context, Task
from pipeline.results.schemas import EPOCHS, PREDICTIONS, RUNS
from pipeline.search.space import configuration
from pipeline.study.cells import cells


@pytest.mark.parametrize("logits", [True, False])
def test_a_run_brings_measures_and_predictions(tmp_path: Path, logits: bool) -> None:
    params, data = fake_study.study(epochs=2), fake_study.small_data()
    data = replace(data, test=data.train, test_turned=data.train)
    config = configuration(cells(params)[0], {"channels": 8}, params, data)
    payload = {"kind": "run", "dataset": "digits", "configuration": config, "angles": 4,
               "layer_images": 2, "measured_images": 5, "logits": logits,
               "features": False}  # fmt: skip
    value = run_confirmation(Task("key", payload), {"digits": data}, Context())
    assert value["row"]["status"] == "completed"
    assert value["measures"]["run"].keys() <= set(RUNS.names)
    assert value["measures"]["run"]["measured_images"] == 5
    assert value["epochs"][-1].keys() <= set(EPOCHS.names)
    assert value["epochs"][-1]["asymmetry_share"] is not None
    path = tmp_path / "predictions"
    path.write_bytes(value["predictions"])
    found = {row["condition"]: row for row in rows(path, keep_logits=True)}
    assert list(found) == list(CONDITIONS)
    assert all(row.keys() <= set(PREDICTIONS.names) for row in found.values())
    assert len(found["upright"]["prediction"]) == 16 and len(found["tta_d4"]["prediction"]) == 5
    assert (found["turned"]["logits"] is not None) == logits
