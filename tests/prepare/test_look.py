"""`prepare --look`: what is printed and drawn lets a person see a mistake before a study runs."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from images import fill, own, picture, refusal
from PIL import Image

from pipeline.__main__ import main
from pipeline.common.errors import UserError
from pipeline.prepare.contact_sheet import class_examples, class_means_sheet, contact_sheet
from pipeline.prepare.look import look
from pipeline.prepare.stage import prepare_all


def test_everything_is_said_and_drawn(tmp_path: Path) -> None:
    base = tmp_path / "pets"
    fill(base / "train", 6)
    fill(base / "val", 4, first=100)
    (base / "train/fish").mkdir()
    (base / "train/cat/000.png").write_bytes(b"no image")
    (base / "train/dog/notes.txt").touch()
    fill(base / "masks", 2)
    settings = own(base, splits="given", group_pattern=r"^(\d)")
    lines = list(look("mine", settings, tmp_path / "look"))
    text = "\n".join(lines)
    for words in (
        "20 images in 2 classes",
        "splits: given: 12 train, 8 test; validation (20%) is drawn from train",
        "class 0: cat: 6 train, 4 test",
        "classes left out: fish (0)",
        "files left out: .txt (1)",
        "masks is left out (files: 4 .png)",
        "the given validation images are the test",
        "groups: 2, each kept in one split",
        "of 19 images inspected: height 12 to 12, width 10 to 10 (resize); values ",
        "cat/000.png: is not a PNG",
    ):
        assert words in text, text
    drawn = np.asarray(Image.open(tmp_path / "look/mine.png").convert("RGB")).astype(int)
    assert (np.ptp(drawn, axis=-1) > 8).mean() > 0.3  # coloured images, not white paper
    assert not (tmp_path / "prepare").exists()


def test_what_the_survey_chose_is_said(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "deep" / label).mkdir(parents=True)
        for number in range(3):
            deep = picture(number + 10 * (label == "a"), channels=1).astype(np.uint16) * 8
            Image.fromarray(deep).save(tmp_path / "deep" / label / f"{number}.png")
    lines = list(look("mine", own(tmp_path / "deep", channels=1), tmp_path / "look"))
    assert any(line.startswith("value_range: auto chose 0 to 4095") for line in lines), lines


def test_many_classes_are_cut_short(tmp_path: Path) -> None:
    for number in range(43):
        fill(tmp_path / "many", 1, [f"kind {number}"], first=number)
    lines = list(look("mine", own(tmp_path / "many"), tmp_path / "look"))
    assert "class 39: kind 39: 1 images" in lines and "and 3 more classes" in lines
    assert not [line for line in lines if line.startswith("class 40")]


def test_what_cannot_be_opened_is_said_as_by_the_preparation(tmp_path: Path) -> None:
    fill(tmp_path / "pets/train", 2)
    fill(tmp_path / "pets/test", 2, first=100)
    with pytest.raises(UserError, match="like splits, not classes: set splits: given"):
        list(look("mine", own(tmp_path / "pets"), tmp_path))


def test_only_bad_images_leave_no_picture(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "pets" / label / f"{number}.png").touch()
    lines = list(look("mine", own(tmp_path / "pets"), tmp_path / "look"))
    assert len([line for line in lines if line.startswith("bad image: ")]) == 5
    assert lines[-1] == "and 3 more bad images among these"


def test_the_command_looks_at_every_data_set(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = yaml.safe_load((root / "tests/study.yaml").read_text())
    source = {"kind": "folder", "path": "data/raw/x", "size": 8, "fit": "pad", "channels": 3}
    values["prepare"] |= {"datasets": ["digits", "mine"], "sources": {"mine": source}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    fill(tmp_path / "data/raw/x", 3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pipeline", "prepare", "--look"])
    main()
    printed = capsys.readouterr().out
    assert "look: digits: " in printed and "a published data set" in printed
    assert "look: mine: one image of each class: .state/look/mine.png" in printed
    assert (tmp_path / ".state/look/mine.png").stat().st_size > 1000


TWO = np.zeros((2, 1, 8, 8), dtype=np.uint8)
PLACES = [np.array([0]), np.array([1])]
SHEETS: list[Callable[[str], bytes]] = [
    lambda title: class_examples(title, list(TWO), ["a", "b"]),
    lambda title: contact_sheet(title, TWO, TWO, np.zeros(2), PLACES, ["a", "b"]),
    lambda title: class_means_sheet(title, TWO, ["a", "b"]),
]


@pytest.mark.parametrize("sheet", SHEETS, ids=["look", "samples", "means"])
def test_a_long_title_is_not_cut_off(sheet: Callable[[str], bytes]) -> None:
    title = (
        "mushrooms-of-the-north: one image of each class, 128x128, channels 1 to 3 of 64, turned"
    )
    drawn = np.asarray(Image.open(io.BytesIO(sheet(title))).convert("L"))
    above = drawn[:30]
    assert above.min() < 128  # the title is there
    assert above[:, :4].min() > 250 and above[:, -4:].min() > 250


@pytest.mark.parametrize(
    ("images", "splits", "said"),
    [
        ({"a": 8, "b": 2}, None, "b (2): add images, or set min_count: 3"),
        ({"a": 8, "b": 3}, None, None),
        ({"train/a": 8, "train/b": 1, "test/a": 2, "test/b": 4}, "given", "b (5): add images"),
        ({"train/a": 8, "train/b": 2, "test/a": 2, "test/b": 1}, "given", None),
        ({"train/a": 8, "train/b": 1, "dev/a": 1, "dev/b": 1, "test/a": 1, "test/b": 1}, "given",
         None),
    ],
)  # fmt: skip
def test_a_class_too_small_for_the_splits_is_said(
    images: dict[str, int], splits: str | None, said: str | None, tmp_path: Path
) -> None:
    for number, (place, count) in enumerate(images.items()):
        folder = tmp_path / "in" / place
        fill(folder.parent, count, [folder.name], first=100 * number)
    options = {"splits": splits} if splits else {}
    lines = [line for line in look("mine", own(tmp_path / "in", **options), tmp_path / "look")
             if "too few" in line]  # fmt: skip
    assert bool(said) == bool(lines) and all(str(said) in line for line in lines)


@pytest.mark.parametrize(
    ("patients", "given", "said"),
    [
        ({"cat": 9, "dog": 9}, False, None),
        ({"cat": 9, "dog": 2}, False, "class 'dog' has 12 images in 2 groups, too few for test"),
        ({"cat": 9, "dog": 9}, True, "groups that are also in train"),
    ],
)
def test_groups_that_cannot_be_split_are_said_before_the_preparation_refuses_them(
    patients: dict[str, int], given: bool, said: str | None, tmp_path: Path
) -> None:
    for place in ("train", "test") if given else (".",):
        for label, count in patients.items():
            folder = tmp_path / "in" / place / label
            folder.mkdir(parents=True)
            for number in range(12):
                seed = 100 * len(place + label) + number + 50 * (label == "dog")
                Image.fromarray(picture(seed)).save(folder / f"p{number % count}_{number}.png")
    options = {"splits": "given"} if given else {}
    settings = own(tmp_path / "in", group_pattern="^(.+?)_", **options)
    lines = [line for line in look("mine", settings, tmp_path / "look") if "prepare may" in line]
    if said is None:
        prepare_all(settings, tmp_path / "prepare")
        assert not lines
    else:
        assert said in lines[0] and said in refusal(settings, tmp_path)


def test_a_white_image_has_an_edge_in_the_picture() -> None:
    white = np.full((1, 8, 8), 255, dtype=np.uint8)
    drawn = np.asarray(Image.open(io.BytesIO(class_examples("x", [white], ["a"]))).convert("L"))
    below = drawn[drawn.shape[0] // 2 :]  # nothing but the image
    assert (below < 200).any(0).sum() > 100
