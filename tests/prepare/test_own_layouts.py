"""Folders as people have them: splits never become classes, and no class vanishes in silence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from images import fill, own

from pipeline.common.errors import UserError
from pipeline.prepare.images.fit_to_square import Target
from pipeline.prepare.labels.classes import LabelledSource
from pipeline.prepare.sources import folder
from pipeline.prepare.sources.open_source import open_source
from pipeline.prepare.splits.names import split_of
from pipeline.prepare.stage import prepare_dataset


def lay(base: Path, *places: str, count: int = 2) -> Path:
    """Make files: ``train/cat`` gets images, ``notes/readme.txt`` is a file, ``fish/`` is empty."""
    for place in places:
        path = base / place
        if place.endswith("/"):
            path.mkdir(parents=True)
        elif path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                (path / f"{number}.png").touch()
    return base


def read(base: Path, splits: str | None = None, min_count: int = 1) -> LabelledSource:
    target = Target(8, "resize", 3)
    return folder.read(
        base, target, splits=splits, min_count=min_count, group_pattern=None, skip=False
    )


def refusal(base: Path, splits: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        read(base, splits)
    (problem,) = error.value.problems
    assert "\n" not in problem
    return problem


BESIDE = {
    "nothing": (),
    "an archive's folder": ("__MACOSX/train/cat/._0.png", "__MACOSX/._x"),
    "annotations": ("annotations/1.xml", "README.md"),
    "an empty folder": ("extra/",),
    "hidden folders": (".ipynb_checkpoints/cat/0.png", ".DS_Store"),
    "another folder of images": ("masks",),
}
NAMES = [
    ("train", "test"),
    ("TRAIN", "TEST"),
    ("Train_Set", "Test_Set"),
    ("training", "testing"),
    ("train2017", "val2017"),
    ("seg_train/seg_train", "seg_test/seg_test"),
    ("images/train", "images/valid"),
    ("archive/data/train", "archive/data/dev"),
    ("trainset", "validation"),
    ("train/images", "test/images"),
    ("TrainImages", "TestImages"),
    ("training-data", "test data"),
]


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
@pytest.mark.parametrize("names", NAMES, ids="-".join)
def test_splits_are_asked_about_and_the_answer_leads_on(
    names: tuple[str, str], beside: tuple[str, ...], tmp_path: Path
) -> None:
    parents = {Path(name).parent for name in names}
    inside = parents.pop() if len(parents) == 1 else ""
    lay(tmp_path, *(f"{split}/{label}" for split in names for label in ("ill", "normal")))
    lay(tmp_path / inside, *beside)
    problem = refusal(tmp_path)
    assert "like splits, not classes" in problem and "set splits: given" in problem
    given = read(tmp_path, "given")
    assert given.class_names == ("ill", "normal")
    assert {name: len(part) for name, part in given.given.items()} == {"train": 4, "test": 4}
    made = read(tmp_path, "made")
    assert made.class_names == ("ill", "normal") and len(made.given["all"]) == 8
    said = " ".join(given.notes)
    assert ("masks" in said) == ("masks" in beside)
    assert ("1 .xml" in said) == ("README.md" in beside)


def test_classes_divided_into_splits(tmp_path: Path) -> None:
    lay(tmp_path, "cat/train", "cat/test", "dog/Train", "dog/Test")
    assert "set splits: given to keep them" in refusal(tmp_path)
    given = read(tmp_path, "given")
    assert given.class_names == ("cat", "dog") and set(given.given) == {"train", "test"}
    assert len(read(tmp_path, "made").given["all"]) == 8
    lay(tmp_path, "cow/other")
    assert "cow: holds other, but splits: given needs" in refusal(tmp_path, "given")


def test_train_and_validation_alone_go_on(tmp_path: Path) -> None:
    fill(tmp_path / "pets/train", 6)
    fill(tmp_path / "pets/val", 4, first=100)
    assert "set splits: given" in refusal(tmp_path / "pets")
    labelled = read(tmp_path / "pets", "given")
    assert {name: len(part) for name, part in labelled.given.items()} == {"train": 12, "test": 8}
    assert "the given validation images are the test" in labelled.notes[-1]
    prepare_dataset("mine", own(tmp_path / "pets", splits="given"), tmp_path / "o", tmp_path / "w")
    assert "validation images are drawn from train" in (tmp_path / "o/card.json").read_text()


def test_a_split_without_classes_is_left_by_following_the_advice(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat", "train/dog", "test")
    for problem in (refusal(tmp_path), refusal(tmp_path, "given")):
        match = re.search(r"set path: (\S+) to draw", problem)
        assert match and read(Path(match[1])).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("places", "splits", "words"),
    [
        (["train/a", "train/b", "training/a", "training/b", "test/a"], "given", "for one split"),
        (["val/a", "val/b", "test/a", "test/b"], None, "splits: given needs train, and test"),
        (["val/a", "val/b", "test/a", "test/b"], "given", "rename one of them, or set splits"),
        (["cat", "dog"], "given", "found cat, dog: rename them, or remove splits: given"),
        (["train", "test"], None, "put each class's images into a folder of their own"),
        (["train/a", "train/b", "extra/a", "extra/b"], None, "splits: made if it is a class"),
    ],
)
def test_what_cannot_be_kept_says_what_to_do(
    places: list[str], splits: str | None, words: str, tmp_path: Path
) -> None:
    assert words in refusal(lay(tmp_path, *places), splits)


@pytest.mark.parametrize(
    "places",
    [
        ["train", "bus", "car"],  # vehicles
        ["contest", "protest"],
        ["train station", "test tube"],
        ["dataset/cat", "dataset/dog"],
        ["cat/deep/er", "dog"],
        ["x/train/cat", "x/train/dog"],  # nothing but training images
    ],
    ids=lambda places: places[0],
)
def test_classes_are_classes(places: list[str], tmp_path: Path) -> None:
    found = read(lay(tmp_path, *places))
    first = ["cat", "dog"] if "/" in places[0] else places
    assert found.class_names == tuple(sorted(first)) and set(found.given) == {"all"}


@pytest.mark.parametrize("name", ["", "a", "7", "Trainer", "trains", "atest", "train_masks", "set"])
def test_what_is_no_splits_name(name: str) -> None:
    assert split_of(name) is None


def test_a_class_without_an_image_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "pets", 6)
    lay(tmp_path / "pets", "bird/1.heic", "bird/2.heic", "fish/", "cow/notes.txt")
    prepare_dataset("mine", own(tmp_path / "pets"), tmp_path / "out", tmp_path / "work")
    printed, card = capsys.readouterr().out, (tmp_path / "out/card.json").read_text()
    for words in (
        "the class bird has no image that can be read (files: 2 .heic)",
        "the class fish has no image that can be read (it is empty)",
        "the class cow has no image that can be read (files: 1 .txt)",
    ):
        assert words in printed and words in card
    opened = open_source("mine", own(tmp_path / "pets"), tmp_path)
    assert opened.facts["classes_left_out"] == {"bird": 0, "cow": 0, "fish": 0}


def test_a_split_that_lacks_a_class_says_what_it_has_instead(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat", "train/dog", "test/cat", "test/dog/1.gif")
    assert "test: has no image of the class 'dog' (files: 1 .gif)" in refusal(tmp_path, "given")


def test_numbers_sort_as_people_count(tmp_path: Path) -> None:
    names = [str(number) for number in range(1, 12)]
    assert read(lay(tmp_path / "a", *names)).class_names == tuple(names)
    found = read(lay(tmp_path / "b", "grade 10", "grade 9", "grade 9b", "1" * 200))
    assert found.class_names == ("1" * 200, "grade 9", "grade 9b", "grade 10")


def test_two_forms_of_one_name_are_one_class(tmp_path: Path) -> None:
    lay(tmp_path, "train/caf\u00e9", "train/tea", "test/cafe\u0301", "test/tea")
    assert read(tmp_path, "given").class_names == ("café", "tea")


def test_names_that_hardly_differ_are_pointed_out(tmp_path: Path) -> None:
    notes = read(lay(tmp_path, "Cat", "cat ", "dog", "nan")).notes
    assert notes == (
        "the classes 'Cat' and 'cat ' differ in case or spaces alone",
        "a class is called 'nan', as missing labels often are",
    )


def test_a_class_too_small_is_called_by_its_name(tmp_path: Path) -> None:
    fill(tmp_path / "pets", 6)
    fill(tmp_path / "pets", 1, ["fish"], first=500)
    with pytest.raises(UserError, match=r"class 'fish' has 1 image, too few .* min_count: 2 to"):
        prepare_dataset("mine", own(tmp_path / "pets"), tmp_path / "out", tmp_path / "work")
    assert read(tmp_path / "pets", min_count=2).left_out == {"fish": 1}


@pytest.mark.parametrize(
    ("places", "deeper"),
    [
        (("cells/monocyte", "cells/neutrophil", "new_slides"), "cells"),
        (("cells/class1", "cells/class2", "new_slides"), "cells"),
        (("set/cat", "set/cow", "set/dog", "set/emu", "other/cat", "other/dog"), "set"),
        (("cat/p01", "cat/p02", "dog/p01", "dog/p03"), None),  # patients
        (("cat/images", "dog/images"), None),
        (("cat", "dog"), None),
    ],
)
def test_the_folder_below_is_named_if_classes_hold_folders(
    places: tuple[str, ...], deeper: str | None, tmp_path: Path
) -> None:
    notes = " ".join(read(lay(tmp_path, *places)).notes)
    assert ("if these folders are the classes" in notes) == (deeper is not None)
    if deeper is not None:
        assert f"in one class, {deeper}: " in notes
        assert f"name the folder {tmp_path / deeper} instead" in notes
        assert ("and 1 more" in notes) == (len(places) == 6)
