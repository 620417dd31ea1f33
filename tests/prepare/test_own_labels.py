"""Labels as people have them: one name for one class in all files, and none for a missing one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.common.errors import UserError
from pipeline.prepare.images.fit_to_square import Target
from pipeline.prepare.labels.classes import LabelledSource
from pipeline.prepare.sources import arrays, parquet

TARGET = Target(8, "resize", 1)


def chunk(path: Path, labels: Any, names: list[str] | None = None, **columns: Any) -> None:
    """Write a Parquet file; images are not decoded here, so that any bytes will do."""
    table = pa.table({"image": pa.array([b"x"] * len(labels)), "label": labels, **columns})
    if names is not None:
        features = {column: {"names": names} for column in ("label", *columns)}
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({b"huggingface": info.encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def read_parquet(path: Path, splits: str | None = None, group: str | None = None) -> LabelledSource:
    return parquet.read(
        path, TARGET, splits=splits, min_count=1, image_column="image", label_column="label",
        group_column=group, skip=False,
    )  # fmt: skip


def read_arrays(path: Path, splits: str | None = None, **given: np.ndarray) -> LabelledSource:
    np.savez(path / "a.npz", **given)  # type: ignore[arg-type]
    return arrays.read(path / "a.npz", TARGET, splits=splits, min_count=1, skip=False)


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8)).astype("u1")


WORDS = ["ant", "zebra", "ant"]
ARROW = {
    "text": pa.array(WORDS),
    "large text": pa.array(WORDS, pa.large_string()),
    "a view of text": pa.array(WORDS, pa.string_view()),
    "categories": pa.array(WORDS).dictionary_encode(),
    "large categories": pa.array(WORDS, pa.large_string()).dictionary_encode(),
    "bytes": pa.array([word.encode() for word in WORDS]),
    "bytes of one length": pa.array([b"ant", b"fly", b"ant"], pa.binary(3)),
}


@pytest.mark.parametrize("column", ARROW.values(), ids=ARROW)
def test_words_of_every_arrow_type(column: pa.Array, tmp_path: Path) -> None:
    chunk(tmp_path / "a.parquet", column)
    found = read_parquet(tmp_path / "a.parquet")
    assert found.class_names in (("ant", "zebra"), ("ant", "fly"))
    assert found.given["all"].labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("kind", ["str", "category", "object"])
def test_words_of_pandas(kind: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": [b"x"] * 3, "label": pd.Series(WORDS).astype(kind)})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_parquet(tmp_path / "a.parquet").class_names == ("ant", "zebra")


@pytest.mark.parametrize(
    "labels",
    [[3.0, 11.0, 3.0], pa.array([3, 11, 3]).dictionary_encode(), pa.array([3, 11, 3], pa.uint8())],
    ids=["floats", "categories", "uint8"],
)
def test_whole_numbers_of_every_arrow_type(labels: Any, tmp_path: Path) -> None:
    chunk(tmp_path / "a.parquet", labels)
    assert read_parquet(tmp_path / "a.parquet").class_names == ("0003", "0011")


def test_truth_values_are_classes(tmp_path: Path) -> None:
    chunk(tmp_path / "a.parquet", [True, False])
    assert read_parquet(tmp_path / "a.parquet").class_names == ("0000", "0001")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.array([b"cat", b"dog", b"cat"]), ("cat", "dog")),
        (np.array(["cat", "dog", "cat"]), ("cat", "dog")),
        (np.array([1.0, 10.0, 1.0], np.float32), ("01", "10")),
        (np.array([True, False, True]), ("0", "1")),
        (np.array([["a/b c"], ["猫"], ["a/b c"]]), ("a/b c", "猫")),
    ],
    ids=["bytes", "text", "floats", "truth values", "odd text"],
)
def test_arrays_of_labels(values: np.ndarray, names: tuple[str, ...], tmp_path: Path) -> None:
    found = read_arrays(tmp_path, images=pixels(3), labels=values)
    assert found.class_names == names and len(set(found.given["all"].labels.tolist())) == 2


@pytest.mark.parametrize("other", [None, ["zebra", "ant"], ["zebra", "ant", "bee"], []])
def test_shards_share_one_list_of_names(other: list[str] | None, tmp_path: Path) -> None:
    chunk(tmp_path / "a-0.parquet", [0, 1, 1], ["zebra", "ant"])
    chunk(tmp_path / "a-1.parquet", [1, 0, 0], other)
    found = read_parquet(tmp_path)
    assert found.class_names == ("0000 zebra", "0001 ant")
    assert found.given["all"].labels.tolist() == [0, 1, 1, 1, 0, 0]


def test_shards_in_another_order_go_by_name(tmp_path: Path) -> None:
    chunk(tmp_path / "train-0.parquet", [0, 1, 1], ["zebra", "ant"])
    chunk(tmp_path / "test-0.parquet", [0, 1, 1, 2], ["ant", "zebra", "bee"])
    chunk(tmp_path / "train-1.parquet", ["ant", "bee"])
    found = read_parquet(tmp_path, "given")
    assert found.class_names == ("0000 zebra", "0001 ant", "0002 bee")
    assert found.given["train"].labels.tolist() == [0, 1, 1, 1, 2]
    assert found.given["test"].labels.tolist() == [1, 0, 0, 2]


def test_groups_share_one_list_of_names_too(tmp_path: Path) -> None:
    chunk(tmp_path / "0.parquet", [0, 1], ["p", "q"], patient=[0, 1])
    chunk(tmp_path / "1.parquet", [0, 1], None, patient=[-1, 1])
    with pytest.raises(UserError, match="column 'patient' holds -1, but its metadata names 2"):
        read_parquet(tmp_path, group="patient")
    chunk(tmp_path / "1.parquet", [0, 1], None, patient=[0, 0])
    groups = read_parquet(tmp_path, group="patient").given["all"].groups
    assert groups is not None and groups.tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("shards", "words"),
    [
        ([([0, 1], ["a", "b"]), ([0, 1], ["b", "a"]), ([0], None)], "names no classes, and other"),
        ([([0, 1], None), (["a", "b"], None)], "holds numbers, but"),
        ([([0, 2], ["a", "b"])], "holds 2, but its metadata names 2 classes"),
        ([([0, 1], ["a", "a"])], "its metadata names two classes 'a'"),
        ([([0, 1], ["a", "b"]), ([-1, -1], ["a", "b"])], "hides the label (2 of 2 rows are so)"),
        ([([0, 1, -1], None)], "-1 in row 2, which hides the label (1 of 3 rows are so)"),
        ([([0.0, 1.0, float("nan")], None)], "row 2 has none (it is NaN)"),
        ([([0.5, 1.0], None)], "numbers to predict are out of scope"),
        ([([None, None], None)], "row 0 has no label"),
        ([(["a", None], None)], "row 1 has no label"),
        ([(["a", " "], None)], "row 1 has an empty one"),
        ([([b"\xff", b"b"], None)], "row 0 holds bytes that are no UTF-8 text"),
        ([([[0, 1], [1, 0]], None)], "several labels an image are out of scope"),
        ([(pa.array([1, 2], pa.timestamp("s")), None)], "give whole numbers or words"),
    ],
)
def test_shards_that_cannot_be_used(
    shards: list[tuple[Any, list[str] | None]], words: str, tmp_path: Path
) -> None:
    for number, (labels, names) in enumerate(shards):
        chunk(tmp_path / f"{number}.parquet", labels, names)
    with pytest.raises(UserError) as error:
        read_parquet(tmp_path)
    assert words in str(error.value) and ".parquet: " in str(error.value)
    assert "\n" not in str(error.value)


def test_hidden_labels_are_left_out_by_following_the_advice(tmp_path: Path) -> None:
    chunk(tmp_path / "in/train-0.parquet", [0, 1])
    chunk(tmp_path / "in/validation-0.parquet", [0, 1, -1])
    chunk(tmp_path / "in/test-0.parquet", [-1, -1])
    with pytest.raises(UserError, match="move a file whose rows are all so out of the folder"):
        read_parquet(tmp_path / "in", "given")
    (tmp_path / "in/test-0.parquet").rename(tmp_path / "test-0.parquet")
    table = pd.read_parquet(tmp_path / "in/validation-0.parquet")
    with pytest.raises(UserError, match=r"table\[table.label >= 0\].to_parquet"):
        read_parquet(tmp_path / "in", "given")
    table[table.label >= 0].to_parquet(tmp_path / "in/validation-0.parquet")
    parts = read_parquet(tmp_path / "in", "given").given
    assert {name: len(part) for name, part in parts.items()} == {"train": 2, "test": 2}


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([0, -1, 1]), "-1 in row 1, which hides the label"),
        (np.eye(3), "is one-hot: save its argmax(1)"),
        (np.eye(3, dtype=bool), "is one-hot: save its argmax(1)"),
        (np.array([[1, 1], [0, 1], [1, 0]]), "has 2 values an image: several labels"),
        (np.array([0.1, 2.5, 3.0]), "numbers to predict are out of scope"),
        (np.array([0, 1, np.nan]), "row 2 has none (it is NaN)"),
        (np.array([1, 2, 3], "M8[D]"), "holds datetime64[D]: give whole numbers or words"),
        (np.array(["a", "", "b"]), "row 1 has an empty one"),
    ],
)
def test_arrays_of_labels_that_cannot_be_used(
    labels: np.ndarray, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        read_arrays(tmp_path, images=pixels(3), labels=labels)
    assert words in str(error.value) and "a.npz: labels" in str(error.value)


def test_numbers_have_the_same_digits_in_all_splits(tmp_path: Path) -> None:
    given = {"train_images": pixels(22), "train_labels": np.repeat(np.arange(11), 2)}
    given |= {"test_images": pixels(11), "test_labels": np.arange(11)}
    found = read_arrays(tmp_path, "given", **given)
    assert found.class_names == tuple(f"{number:02}" for number in range(11))
    given |= {"test_images": pixels(10), "test_labels": np.arange(10)}
    with pytest.raises(UserError, match="test: has no image of the class '10'"):
        read_arrays(tmp_path, "given", **given)


def test_numbers_in_one_split_and_words_in_another(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train_labels holds numbers, but .*test_labels words"):
        read_arrays(
            tmp_path, "given",
            train_images=pixels(2), train_labels=np.array([0, 1]),
            test_images=pixels(2), test_labels=np.array(["0", "1"]),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("images", "labels"),
    [("x_{}", "y_{}"), ("{}_images", "{}_labels"), ("images_{}", "labels_{}"), ("X_{}", "{}_y")],
)
def test_usual_names_of_arrays(images: str, labels: str, tmp_path: Path) -> None:
    given = {}
    for split in ("train", "valid"):
        given[images.format(split)] = pixels(4)
        given[labels.format(split)] = np.array([0, 1, 0, 1])
    with pytest.raises(UserError, match="set splits: given"):
        read_arrays(tmp_path, **given)
    found = read_arrays(tmp_path, "given", **given)
    assert {name: len(part) for name, part in found.given.items()} == {"train": 4, "test": 4}
    assert "the given validation images are the test" in found.notes[0]


def test_a_given_test_beside_images_is_asked_about(tmp_path: Path) -> None:
    given = {"images": pixels(4), "labels": np.array([0, 1, 0, 1])}
    given |= {"test_images": pixels(2), "test_labels": np.array([0, 1])}
    with pytest.raises(UserError, match="set splits: made to use images alone"):
        read_arrays(tmp_path, **given)
    found = read_arrays(tmp_path, "made", **given)
    assert list(found.given) == ["all"] and found.notes == (
        "the test images are left out (splits: made)",
    )


@pytest.mark.parametrize("names", [["train", "test"], ["Train_Set", "val", "train"]])
def test_a_column_of_splits_is_no_column_of_classes(names: list[str], tmp_path: Path) -> None:
    chunk(tmp_path / "a.parquet", names)
    with pytest.raises(UserError, match="like splits, not classes: name the column"):
        read_parquet(tmp_path / "a.parquet")
    chunk(tmp_path / "a.parquet", [*names, "bus"])
    assert len(read_parquet(tmp_path / "a.parquet").class_names) == len(names) + 1


def test_shards_in_folders_of_their_splits(tmp_path: Path) -> None:
    chunk(tmp_path / "default/train/0000.parquet", [0, 1])
    chunk(tmp_path / "default/test/0000.parquet", [0, 1])
    assert set(read_parquet(tmp_path, "given").given) == {"train", "test"}
    assert "splits: given would keep them apart" in read_parquet(tmp_path).notes[0]
    chunk(tmp_path / "default/more.parquet", [0, 1])
    with pytest.raises(UserError, match=r"more.parquet: splits: given needs names that start"):
        read_parquet(tmp_path, "given")
