"""What is kept of every test image: order, size, bytes, and the tables that come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_study
import numpy as np
import pytest
import torch
from fake_study import fake_confirmation, fake_trial

from pipeline.common.errors import UserError
from pipeline.confirm import stage as confirm
from pipeline.confirm.keep import kept, measured_images, stores_logits
from pipeline.confirm.measures.predictions import (
    CONDITIONS,
    bytes_of_logits,
    bytes_of_predictions,
    image_order,
    pack,
    rows,
)
from pipeline.dataset import Split
from pipeline.execution.engine import InProcess
from pipeline.results import records, schemas
from pipeline.study.schema import Params
from pipeline.sweep import stage as sweep

FOLDER = Path("data/confirm/digits")


def with_confirm(**section: Any) -> Params:
    """The fake study with another section confirm."""
    params = fake_study.study()
    return params.model_copy(update={"confirm": params.confirm.model_copy(update=section)})


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project folder with a finished sweep."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSA_QUIET", "1")
    for module in (sweep, confirm):
        monkeypatch.setattr(module, "load_dataset", fake_study.fake_load)
    fake_study.prepare_folder()
    sweep.sweep(fake_study.study(), InProcess(), fake_trial)
    Path("starts.txt").unlink()


def files() -> dict[str, bytes]:
    return {name: (FOLDER / f"{name}.parquet").read_bytes() for name in ("predictions", "images")}


def test_images_are_listed_in_a_fixed_random_order() -> None:
    order = image_order(50)
    assert sorted(order) == list(range(50)) != order.tolist()
    np.testing.assert_array_equal(order, image_order(50))
    assert len(set(order[:10] // 10)) > 2, "the first of a sorted split are of every part of it"


@pytest.mark.parametrize("keep", ["logits", "predictions", "none"])
def test_what_is_kept_is_in_the_tables(study: None, keep: str) -> None:
    confirm.confirm(with_confirm(keep=keep), InProcess(), fake_confirmation)
    images = records.read(FOLDER / "images.parquet", schemas.IMAGES)
    order = image_order(3).tolist()
    assert images["test_image"].tolist() == order
    assert images["label"].tolist() == [[4, 5, 6][i] for i in order]
    assert images["image"].tolist() == [0, 1, 2] and images["group"].isna().all()
    table = records.read(FOLDER / "predictions.parquet", schemas.PREDICTIONS)
    assert len(table) == (0 if keep == "none" else 3 * 2 * 2)  # cells, seeds and conditions
    for _, row in table.iterrows():
        third = row["seed"] % 10
        upright = row["condition"] == "upright"
        assert row["prediction"].tolist() == ([4, 5, third] if upright else [4, 5])
        assert (row["logits"] is not None) == (upright and keep == "logits")
        assert row["first_image"] == 0
        if row["logits"] is not None:
            assert row["logits"].reshape(3, 10).argmax(1).tolist() == [4, 5, third]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("keep", ["logits", "predictions", "none"])
def test_wrong_images_are_in_a_table_unless_nothing_is_kept(study: None, keep: str) -> None:
    confirm.confirm(with_confirm(keep=keep), InProcess(), fake_confirmation)
    table = records.read(FOLDER / "mistakes.parquet", schemas.MISTAKES)
    if keep == "none":
        assert table.empty
        return
    assert len(table), "predictions are in another order than the labels"
    for row in table.to_dict("records"):
        assert row["label"] == [4, 5, 6][row["test_image"]] != row["predicted"]
        assert row["test_image"] == image_order(3)[row["image"]] and row["runs"] == 6
        assert row["pixels"] == bytes([round(255 * fake_study.PIXELS[row["test_image"], 0, 0, 0])])
    opened = Path("opened.txt").read_text()
    confirm.confirm(with_confirm(keep=keep), InProcess(), fake_confirmation)
    assert Path("opened.txt").read_text() == opened, "stored beside the runs"


def test_an_interruption_and_another_keep_repeat_no_run_and_give_the_same_bytes(
    study: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm.confirm(with_confirm(keep="logits"), InProcess(), fake_confirmation)
    whole, started = files(), Path("starts.txt").read_text()
    confirm.confirm(with_confirm(keep="predictions"), InProcess(), fake_confirmation)
    assert len(files()["predictions"]) < len(whole["predictions"])
    for path in FOLDER.glob("*.parquet"):
        path.unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(confirm, "write", interrupted)
        confirm.confirm(with_confirm(keep="logits"), InProcess(), fake_confirmation)
    confirm.confirm(with_confirm(keep="logits"), InProcess(), fake_confirmation)
    assert files() == whole
    assert Path("starts.txt").read_text() == started


def interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("ending", ["predictions.safetensors", "safetensors"])
def test_damaged_bytes_repeat_their_run_alone(study: None, ending: str) -> None:
    confirm.confirm(fake_study.study(), InProcess(), fake_confirmation)
    whole, started = files(), Path("starts.txt").read_text().splitlines()
    path = next(Path(".state/confirm").rglob(f"*-seed101-*.{ending}"))
    path.write_bytes(b"other")
    confirm.confirm(fake_study.study(), InProcess(), fake_confirmation)
    assert files() == whole
    assert len(Path("starts.txt").read_text().splitlines()) == len(started) + 1


def test_damaged_list_of_images_is_made_again(study: None) -> None:
    confirm.confirm(fake_study.study(), InProcess(), fake_confirmation)
    whole = files()
    path = next(Path(".state/confirm").rglob("digits-images-*.json"))
    path.write_bytes(b"{")
    confirm.confirm(fake_study.study(), InProcess(), fake_confirmation)
    assert files() == whole


@pytest.mark.parametrize("groups", [["DejaVu", "cmr10", "STIX"], ["7", "7", "8"], None])
def test_groups_follow_their_images(
    study: None, monkeypatch: pytest.MonkeyPatch, groups: list[str] | None
) -> None:
    names = None if groups is None else np.array(groups)
    test = Split(fake_study.PIXELS, np.array([4, 5, 6]), names)
    data = fake_study.FakeData(test=test)
    monkeypatch.setattr(confirm, "load_dataset", lambda *_, **__: data)
    confirm.confirm(fake_study.study(), InProcess(), fake_confirmation)
    images = records.read(FOLDER / "images.parquet", schemas.IMAGES)
    found = dict(zip(images["test_image"], images["group"], strict=True))
    if groups is None:
        assert images["group"].isna().all()
    else:
        assert [found[number] for number in range(3)] == groups


def test_packed_values_are_those_of_the_logits(tmp_path: Path) -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1e6], [1.0, 3.0]])
    labels = torch.tensor([0, 0, 1])
    average = torch.tensor([[0.75, 0.25]])
    path = tmp_path / "kept"
    path.write_bytes(pack({"turned": logits}, {"tta_d4": average}, labels, True))
    turned, averaged = rows(path, keep_logits=True)
    assert turned["prediction"].tolist() == [0, 1, 1]
    expected = torch.softmax(logits.double(), 1)[[0, 1, 2], labels]
    np.testing.assert_allclose(turned["label_probability"], expected, atol=1e-3)
    assert turned["logits"].tolist() == [2, 0, 0, 65504, 1, 3], "bounded by half precision"
    assert averaged["prediction"].tolist() == [0] and averaged["logits"] is None
    assert averaged["label_probability"].tolist() == [0.75]


def card(images: int, classes: int) -> dict[str, Any]:
    return {"name": "any", "classes": classes, "counts": {"test": {"total": images}}}


@pytest.mark.parametrize(
    ("asked", "images", "classes", "found", "stored"),
    [
        ("auto", 5000, 10, "logits", True),
        ("auto", 5000, 100, "logits", True),
        ("auto", 60_000, 20, "predictions", False),  # 12 MB a run
        ("auto", 70_000, 10, "logits", True),  # 7 MB a run, 42 together
        ("logits", 60_000, 1000, "logits", True),
        ("predictions", 5000, 10, "predictions", True),
        ("none", 5000, 10, "none", True),
    ],
)
def test_auto_is_bounded_by_size(
    asked: str, images: int, classes: int, found: str, stored: bool
) -> None:
    params, one = with_confirm(keep=asked), card(images, classes)
    assert kept(params, {"any": one}).what == found
    assert stores_logits(params, one) == stored


def test_auto_is_bounded_for_all_runs_together() -> None:
    params = with_confirm(seeds=list(range(100, 200)))
    one = card(10_000, 10)  # 1 MB of logits a run
    assert kept(params, {"any": one}).what == "predictions"
    assert stores_logits(params, one), "another number of seeds repeats no run"


@pytest.mark.parametrize("keep", ["logits", "predictions"])
def test_the_estimate_is_the_size_of_what_is_packed(keep: str) -> None:
    images, measured, classes = 200, 30, 7
    logits = torch.zeros(images, classes)
    averages = {name: logits[:measured] for name in CONDITIONS[6:]} | {CONDITIONS[5]: logits}
    content = pack(
        dict.fromkeys(CONDITIONS[:5], logits),
        averages,
        torch.zeros(images, dtype=torch.long),
        keep == "logits",
    )
    numbers = content[8 + int.from_bytes(content[:8], "little") :]  # after the header
    params = with_confirm(keep=keep, measured_images=measured, seeds=[101])
    found = kept(params, {"any": card(images, classes)})
    in_no_table = 2 * images  # the probability of the upright predictions
    assert found.size == 3 * (len(numbers) - in_no_table)  # cells
    assert (
        bytes_of_predictions(images, measured)
        + (bytes_of_logits(images, classes) if keep == "logits" else 0)
        == len(numbers) - in_no_table
    )


@pytest.mark.parametrize(("asked", "found"), [(None, 50), (40, 40), (1000, 50)])
def test_no_more_images_are_measured_than_there_are(asked: int | None, found: int) -> None:
    assert measured_images(with_confirm(measured_images=asked), card(50, 10)) == found


@pytest.mark.parametrize("bad", [{}, {"counts": {"test": {"total": "many"}}}, {"counts": [1]}])
def test_a_card_without_its_counts_is_one_sentence(bad: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="dvc repro --force prepare") as error:
        kept(fake_study.study(), {"any": {"name": "any", "classes": 3, **bad}})
    assert "\n" not in str(error.value)
