"""Repeated splits: drawn as `prepare` draws them, run, resumed, written with their images."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_study
import numpy as np
import pandas as pd
import pytest
import torch
from fake_study import fake_confirmation, fake_trial

from pipeline.common.errors import UserError
from pipeline.confirm import stage as confirm
from pipeline.confirm.later_splits import PARTS, draw_splits, drawn_name, with_split
from pipeline.confirm.measures.predictions import image_order, pack
from pipeline.confirm.plan import plan_runs
from pipeline.confirm.run import run_confirmation
from pipeline.dataset import Dataset, Split
from pipeline.dataset.turning import turn
from pipeline.dataset.views import Gathered
from pipeline.execution.engine import InProcess
from pipeline.execution.tasks import Context, Task
from pipeline.report.predictions import read_predictions
from pipeline.results import records, schemas
from pipeline.search.space import configuration
from pipeline.study.cells import cells
from pipeline.study.params import broken_rules
from pipeline.study.schema import Params
from pipeline.sweep import stage as sweep
from pipeline.tools.status import status

SIZES = {"train": 60, "validation": 16, "test": 24}
SETTINGS = pytest.mark.parametrize("kind", ["uint8", "float32", "grouped"])


def prepared(kind: str = "uint8", side: int = 8) -> Dataset:
    """Hundred images of four classes; grouped ones are of 25 groups, one class each."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (100, 1, side, side), dtype=np.uint8)
    pixels[1::20] = pixels[::20]  # equal images
    pixels = (pixels / np.float32(255)) if kind == "float32" else pixels
    group = np.arange(100) // 4
    labels = group % 4
    names = np.array([f"patient {n}" for n in group], dtype=object)
    order, start, parts = draw.permutation(100), 0, {}
    for name, size in SIZES.items():
        chosen = order[start : start + size]
        start += size
        groups = names[chosen] if kind == "grouped" else None
        parts[name] = Split(pixels[chosen], labels[chosen], groups)
    card = {"name": "digits", "image_shape": [1, side, side], "classes": 4, "seed": 3,
            "mean": [0.5], "std": [0.3], "counts": {"test": {"total": 24}}}  # fmt: skip
    return Dataset("digits", **parts, test_turned=parts["test"], card=card)


def whole(data: Dataset) -> np.ndarray:
    return np.concatenate([getattr(data, name).images for name in PARTS])


@SETTINGS
def test_a_later_split_has_the_same_images_divided_otherwise(kind: str) -> None:
    data = prepared(kind)
    drawn = draw_splits(data, 4)
    assert list(drawn) == [drawn_name("digits", split) for split in (1, 2, 3)]
    pool, tests = whole(data), [set(range(76, 100))]
    for one in drawn.values():
        found = with_split(data, one)
        numbers = np.concatenate([one.indices[name] for name in PARTS])
        assert sorted(numbers) == list(range(100))
        assert abs(len(found.test) - 24) <= 8 and abs(len(found.validation) - 16) <= 8
        for name in PARTS:
            part = getattr(found, name)
            assert np.array_equal(part.images[:], pool[one.indices[name]])
            assert set(part.labels) == {0, 1, 2, 3}
            assert found.card["counts"][name]["classes"] == np.bincount(part.labels).tolist()
        pixels = np.float64(found.train.images[:]) / (1 if kind == "float32" else 255)
        assert found.mean.ravel() == pytest.approx(pixels.mean(), rel=1e-6)
        assert found.std.ravel() == pytest.approx(pixels.std(), rel=1e-6)
        tests.append(set(one.indices["test"]))
    assert len({frozenset(one) for one in tests}) == 4
    again = draw_splits(data, 3)[drawn_name("digits", 2)]
    assert all(np.array_equal(again.indices[name], drawn["digits split 2"].indices[name])
               for name in PARTS)  # fmt: skip


@SETTINGS
def test_equal_images_and_groups_are_never_separated(kind: str) -> None:
    data = prepared(kind)
    for one in draw_splits(data, 6).values():
        found = with_split(data, one)
        parts = [getattr(found, name) for name in PARTS]
        kept: list[set[Any]] = [{image.tobytes() for image in part.images[:]} for part in parts]
        if kind == "grouped":
            kept = [names | set(part.groups) for names, part in zip(kept, parts, strict=True)]
        assert not (kept[0] & kept[1] or kept[0] & kept[2] or kept[1] & kept[2])


def test_classes_keep_their_shares() -> None:
    data = prepared()
    labels = np.concatenate([getattr(data, name).labels for name in PARTS])
    for one in draw_splits(data, 6).values():
        assert np.ptp(np.bincount(labels[one.indices["test"]])) <= 2


@SETTINGS
def test_the_turned_test_is_turned_as_prepare_turns_it(kind: str) -> None:
    data = prepared(kind)
    one = draw_splits(data, 2)["digits split 1"]
    found = with_split(data, one)
    assert found.test is not None and found.test_turned is not None
    upright, turned = found.test.images, found.test_turned.images
    assert len(turned) == len(upright) and turned.dtype == upright.dtype
    expected = turn(upright[:], one.degrees, data.background)
    assert np.array_equal(turned[:], expected)
    assert np.array_equal(turned[[3, 1]], expected[[3, 1]])
    assert np.array_equal(turned[2:5], expected[2:5]) and np.array_equal(turned[2], expected[2])


def test_too_few_groups_are_an_error_that_says_what_to_do() -> None:
    data = prepared()
    three = {name: replace(getattr(data, name), labels=np.zeros(size, dtype=np.int64),
                           groups=np.array(["one", "other"], dtype=object)[np.arange(size) % 2])
             for name, size in SIZES.items()}  # fmt: skip
    with pytest.raises(UserError, match=r"confirm.splits: digits: .* or set confirm.splits: 1"):
        draw_splits(replace(data, **three), 2)


def test_gathered_images_are_those_of_all_parts() -> None:
    parts = [np.arange(6).reshape(3, 2), np.arange(6, 10).reshape(2, 2)]
    pool, order = np.concatenate(parts), np.array([4, 0, 3, 2, 1])
    view: Any = Gathered(parts, order)
    for index in (0, -1, slice(1, 4), np.array([3, 0]), [2], np.array([], dtype=int)):
        assert np.array_equal(view[index], pool[order][index])
    assert np.array_equal(np.asarray(view), pool[order]) and view.shape == (5, 2)
    assert view.nbytes == pool[order].nbytes


def study(splits: int = 3, **section: Any) -> Params:
    space = {"learning_rate": {"choices": [0.004]}, "channels": {"choices": [8]}}
    fixed = {"search_space": space, "trials_per_cell": 1, "sampler": "random"}
    params = fake_study.study(**{**fixed, "group": ["C1", "C4"], **section})
    asked = params.confirm.model_copy(update={"splits": splits})
    return params.model_copy(update={"confirm": asked})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project folder with a finished sweep of the small data set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSA_QUIET", "1")
    data = prepared()
    monkeypatch.setattr(sweep, "load_dataset", lambda *_, **__: data)
    monkeypatch.setattr(confirm, "load_dataset", lambda *_, **__: data)
    Path("data/prepare/digits").mkdir(parents=True)
    Path("data/prepare/digits/card.json").write_text(json.dumps({**data.card, "seed": 0}))
    sweep.sweep(study(), InProcess(), fake_trial)
    Path("starts.txt").unlink()


def predicting(task: Any, data: Any, context: Any) -> dict[str, Any]:
    """A run whose network is right on all test images of its own split but the first."""
    value = fake_confirmation(task, data, context)
    if task.payload["kind"] == "run":
        split = task.payload.get("split", 0)
        found = data["digits"]
        found = with_split(found, data[drawn_name("digits", split)]) if split else found
        labels = torch.tensor(found.test.labels[image_order(len(found.test))])
        logits = torch.eye(10)[labels]
        logits[0] = 1 - logits[0]
        value["predictions"] = pack({"upright": logits}, {}, labels, False)
    return value


def run(splits: int = 3, function: Any = predicting) -> pd.DataFrame:
    confirm.confirm(study(splits), InProcess(), function)
    return records.read("data/confirm/digits/runs.parquet", schemas.RUNS)


def test_every_split_has_its_runs_and_images(folder: None) -> None:
    runs = run()
    found = runs.groupby(["cell", "split"])["seed"].apply(list)
    assert found.tolist() == [[101, 102], [1101, 1102], [2101, 2102]] * 2
    images = records.read("data/confirm/digits/images.parquet", schemas.IMAGES)
    drawn = draw_splits(prepared(), 3)
    for split, part in images.groupby("split"):
        numbers = drawn[drawn_name("digits", split)].indices["test"] if split else range(24)
        assert sorted(part["test_image"]) == sorted(numbers)
    path = Path("data/confirm/digits")
    name, kept = read_predictions(path / "predictions.parquet", path / "images.parquet")
    right = {key: kept.of(*key[:2], [key[2]]) for key in kept.correct}
    assert name == "digits" and len(right) == 12
    assert all(one is not None and one.sum() == len(one) - 1 for one in right.values())
    assert len(list(kept.rows("label_probability", "upright"))) == 4  # of the prepared split


def test_one_split_is_the_study_without_the_key(folder: None) -> None:
    one, three = run(1), run(3)
    assert one["split"].eq(0).all() and len(one) == 4
    starts = Counter(Path("starts.txt").read_text().splitlines())
    assert set(starts.values()) == {1}  # the runs of the prepared split are not repeated
    first = three[three["split"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, one)


def test_interrupted_among_splits_it_goes_on(folder: None) -> None:
    done: list[str] = []

    def dying(task: Any, data: Any, context: Any) -> dict[str, Any]:
        if len(done) == 7:  # the hierarchy and six runs: on the second split
            raise KeyboardInterrupt
        done.append(task.key)
        return predicting(task, data, context)

    with pytest.raises(KeyboardInterrupt):
        run(3, dying)
    assert any(line.strip().startswith("6 of 12 runs done") for line in status(study()))
    resumed = run()
    starts = Counter(Path("starts.txt").read_text().splitlines())
    assert len(starts) == 13 and set(starts.values()) == {1}  # and the hierarchy
    Path("starts.txt").unlink()
    pd.testing.assert_frame_equal(run(), resumed)
    assert not Path("starts.txt").exists()


def test_a_real_run_on_a_later_split(tmp_path: Path) -> None:
    data, params = prepared(), fake_study.study(epochs=1)
    config = configuration(cells(params)[0], {"channels": 8}, params, data)
    payload = {"kind": "run", "dataset": "digits", "configuration": config, "angles": 4,
               "layer_images": 2, "measured_images": 5, "logits": False, "features": False,
               "split": 1}  # fmt: skip
    drawn = draw_splits(data, 2)
    value = run_confirmation(Task("key", payload), {"digits": data, **drawn}, Context())
    assert value["row"]["status"] == "completed"
    measured = value["measures"]["run"]
    assert measured["train_images"] == len(drawn["digits split 1"].indices["train"])
    assert measured["test_images"] == len(drawn["digits split 1"].indices["test"])


def test_plans_and_counts(folder: None) -> None:
    params = study(4)
    trials = {"digits": sweep_trials()}
    runs = plan_runs("digits", params, trials, prepared().card)
    assert [run.split for run in runs] == sorted(run.split for run in runs) and len(runs) == 16
    assert {run.configuration["seed"] for run in runs if run.configuration} == {
        seed + 1000 * split for seed in (101, 102) for split in range(4)
    }


def sweep_trials() -> pd.DataFrame:
    return records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)


@pytest.mark.parametrize(
    ("seeds", "splits", "fault"),
    [
        ((101, 1101), 2, "got 101, whose runs on split 1 have the seed 1101, which is taken"),
        ((101, 2101), 3, "got 101, whose runs on split 2 have the seed 2101, which is taken"),
        ((4294967000,), 2, "which is above 4294967295"),
        ((101, 1101), 1, None),
        ((101, 2101), 2, None),
    ],
)
def test_seeds_that_collide_are_refused(seeds: Any, splits: int, fault: str | None) -> None:
    params = study(splits)
    asked = params.confirm.model_copy(update={"seeds": seeds})
    found = [str(one) for one in broken_rules(params.model_copy(update={"confirm": asked}))]
    assert (not found) if fault is None else any(fault in one for one in found)
