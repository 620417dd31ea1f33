"""Cells matched by parameters, FLOPs or seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_study
import numpy as np
import pandas as pd
import pytest
from fake_study import FakeData, fake_confirmation, fake_trial

from pipeline.common.errors import UserError
from pipeline.confirm import stage as confirm
from pipeline.execution.engine import InProcess
from pipeline.results import records, schemas
from pipeline.search.space import configuration
from pipeline.study.cells import cells
from pipeline.study.params import broken_rules
from pipeline.sweep import stage as sweep

pytestmark = pytest.mark.usefixtures("fake_folder")

RATE = {"learning_rate": {"low": 0.001, "high": 0.01}}
SECONDS = {"of": "seconds", "at": 6, "parameters": 5000}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("budget", [("parameters", 5000), ("flops", 1_000_000)])
@pytest.mark.parametrize("size", [8, 12])
def test_widths_meet_what_is_matched(budget: tuple[str, int], size: int) -> None:
    from gsa_core import build_model, count_flops, count_parameters
    from pipeline.study.models import network_arguments

    of, at = budget
    params = fake_study.study(match={"of": of, "at": at}, search_space=RATE, depth=[2])
    for cell in cells(params):
        config = configuration(cell, {"learning_rate": 0.003}, params, FakeData(image_size=size))
        model = build_model(**network_arguments(config))
        shape = (1, size, size)
        found = count_parameters(model) if of == "parameters" else count_flops(model, shape)
        assert abs(found - at) < 0.25 * at, cell.name


class Images:
    def __len__(self) -> int:
        return 20


def seconds_study(**section: Any) -> Any:
    section = {"trials_per_cell": 2, "training_images": [None, 10], "equal_steps": False, **section}
    return fake_study.study(match=SECONDS, epochs=None, search_space=RATE, **section)


def run(params: Any, measured: list[str], seconds: dict[str, float]) -> pd.DataFrame:
    def measure(config: dict[str, Any], data: Any) -> float:
        measured.append(config["group"])
        return seconds[config["group"]]

    sweep.sweep(params, InProcess(), fake_trial, measure=measure)
    return records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)


@pytest.fixture
def twenty_images(fake_folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sweep, confirm):
        data = FakeData(train=Images())  # type: ignore[arg-type]
        monkeypatch.setattr(module, "load_dataset", lambda *a, data=data, **k: data)


@pytest.mark.usefixtures("twenty_images")
def test_epochs_are_those_of_the_seconds_and_stay(tmp_path: Path) -> None:
    """Batches of 8: three steps an epoch on 20 images, two on 10."""
    measured: list[str] = []
    first = run(seconds_study(), measured, {"C1": 0.1, "C4": 0.2, "D4": 0.5})
    assert sorted(measured) == ["C1", "C1", "C4", "C4", "D4", "D4"]
    found = first.groupby(["group", "training_images"], dropna=False)["epochs"].unique()
    epochs = {key: values.tolist() for key, values in found.items()}
    assert {key: epochs[key, 10.0] for key in ("C1", "C4", "D4")} == {
        "C1": [30], "C4": [15], "D4": [6]
    }  # fmt: skip
    whole = first[first["training_images"].isna()].groupby("group")["epochs"].unique()
    assert whole.map(list).to_dict() == {"C1": [20], "C4": [10], "D4": [4]}
    assert set(first["step_seconds"]) == {0.1, 0.2, 0.5}
    # More trials of an interrupted sweep: another measurement would be another study.
    again = run(seconds_study(trials_per_cell=3), measured, {"C1": 9, "C4": 9, "D4": 9})
    assert len(measured) == 6
    earlier = again[again["trial"] < 2].reset_index(drop=True)
    assert earlier.drop(columns="pareto").equals(first.drop(columns="pareto"))
    assert again.groupby("cell")["epochs"].nunique().max() == 1
    confirm.confirm(seconds_study(trials_per_cell=3), InProcess(), fake_confirmation)
    runs = records.read("data/confirm/digits/runs.parquet", schemas.RUNS)
    same = ["cell", "epochs", "step_seconds"]
    assert set(runs[same].itertuples(index=False)) == set(again[same].itertuples(index=False))


@pytest.mark.usefixtures("twenty_images")
@pytest.mark.parametrize(
    ("domain", "timed"),
    [
        ({"choices": [8, 2]}, [2, 8]),
        ({"choices": [2, 4, 8]}, [2, 4, 8]),
        ({"low": 2, "high": 8}, [2, 8]),
    ],
)
def test_epochs_know_the_batch_size_of_their_trial(
    domain: dict[str, Any], timed: list[int]
) -> None:
    """A step of n images takes 0.01 + 0.02 n seconds; 20 images are an epoch."""
    sizes: list[int] = []

    def measure(config: dict[str, Any], data: Any) -> float:
        sizes.append(config["batch_size"])
        return 0.01 + 0.02 * config["batch_size"]

    space = {**RATE, "batch_size": domain}
    params = fake_study.study(match=SECONDS, epochs=None, batch_size=None, search_space=space,
                              group=["C1"], trials_per_cell=6, sampler="random")  # fmt: skip
    sweep.sweep(params, InProcess(), fake_trial, measure=measure)
    rows = records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)
    assert sizes == timed
    assert rows["batch_size"].nunique() > 1
    step = 0.01 + 0.02 * rows["batch_size"]
    assert rows["step_seconds"].tolist() == pytest.approx(step.tolist())
    epochs = (6 / (step * np.ceil(20 / rows["batch_size"]))).round()
    assert rows["epochs"].tolist() == epochs.tolist()


@pytest.mark.usefixtures("twenty_images")
@pytest.mark.parametrize("content", ["{", '{"gsa-C1-relative-d1-stem": -1.0}', "[]", "{}x"])
def test_damaged_seconds_are_named(content: str) -> None:
    params = seconds_study(group=["C1"], training_images=[None])
    run(params, [], {"C1": 0.1})
    [path] = Path(".state").rglob("step_seconds.json")
    path.write_text(content)
    with pytest.raises(UserError, match=r"step_seconds.json: .*remove it"):
        run(params, [], {"C1": 0.1})


@pytest.mark.usefixtures("twenty_images")
def test_fewer_seconds_than_an_epoch_takes_are_refused() -> None:
    with pytest.raises(UserError, match=r"match.at: got 6 seconds, but an epoch of gsa-D4-.*30"):
        run(seconds_study(), [], {"C1": 0.1, "C4": 0.2, "D4": 10.0})


@pytest.mark.usefixtures("twenty_images")
@pytest.mark.parametrize("count", [9, 21])
def test_more_images_than_there_are_or_fewer_than_classes_are_refused(count: int) -> None:
    params = fake_study.study(training_images=[None, count])
    message = rf"training_images: got {count}, but digits has 20 training images of 10 classes"
    with pytest.raises(UserError, match=message):
        sweep.sweep(params, InProcess(), fake_trial)


def test_steps_are_really_measured() -> None:
    import torch

    from pipeline.training.cost import step_seconds

    params = fake_study.study(augment=["turn"], training_images=[10])
    sampled = {"learning_rate": 0.003, "channels": 4}
    config = configuration(cells(params)[0], sampled, params, fake_study.small_data())
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert 0 < step_seconds(config, fake_study.small_data()) < 10
    assert torch.equal(before, torch.get_rng_state()) and threads == torch.get_num_threads()


REFUSED = {
    "no epochs": ({"epochs": None}, "epochs: got null without match: {of: seconds}"),
    "epochs twice": ({"match": SECONDS, "epochs": 3}, "epochs: got 3 with match: {of: seconds}"),
    "no width": ({"match": {"of": "seconds", "at": 6}, "epochs": None}, "parameters: got null"),
    "two widths": (
        {"match": {"of": "flops", "at": 5000, "parameters": 5000}}, "parameters: got 5000 with of",
    ),
    "a fraction": ({"match": {"of": "parameters", "at": 5000.5}}, "at: got 5000.5 parameters"),
    "too few": ({"match": {"of": "flops", "at": 3}}, "at: got 3 flops"),
    "stopping": (
        {"match": SECONDS, "epochs": None, "stopping": {"reduction": 3}, "trials_per_cell": 30},
        "reduction: got 3 with match: {of: seconds}",
    ),
    "a fixed width": (
        {"model": ["published_rotmnist"], "match": {"of": "flops", "at": 5000}},
        "match: got flops with sweep.model published_rotmnist",
    ),
    "a width that is searched": (
        {"search_space": {"channels": {"choices": [4, 8]}}, "match": {"of": "flops", "at": 5000}},
        "match: got flops, but sweep.search_space.channels searches",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("section", "fault"), REFUSED.values(), ids=REFUSED)
def test_a_match_has_what_it_needs_and_no_more(section: dict[str, Any], fault: str) -> None:
    params = fake_study.study(**{"search_space": RATE, **section})
    found = [f"{one.path[-1]}: {one.fault}" for one in broken_rules(params)]
    assert any(fault in text for text in found), found
