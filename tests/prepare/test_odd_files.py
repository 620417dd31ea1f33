"""What lies in people's folders beside sound images: files of systems, links to nothing, pipes."""

from __future__ import annotations

import builtins
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from images import fill, own, picture, refusal
from PIL import Image

from pipeline.dataset import load_dataset
from pipeline.prepare import stage as prepare
from pipeline.prepare.sources.folder_tree import SYSTEM_FILES
from pipeline.prepare.sources.open_source import open_source
from pipeline.study.schema import Prepare


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time of so small a preparation."""
    monkeypatch.setattr(prepare, "write_pictures", lambda *_: None)


def card_of(settings: Prepare, tmp_path: Path) -> dict[str, Any]:
    prepare.prepare_all(settings, tmp_path / "prepare")
    return load_dataset(tmp_path / "prepare/mine").card


def total(card: dict[str, Any]) -> int:
    return sum(card["counts"][name]["total"] for name in ("train", "validation", "test"))


SYSTEM = [
    "@eaDir/000.png/SYNOPHOTO_THUMB_M.jpg",
    "#recycle/old.png",
    "deeper/.thumbnails/000.png",
    "deeper/@EADIR/000.png",
    ".ipynb_checkpoints/000-checkpoint.png",
    "__MACOSX/._000.png",
    "lost+found/000.png",
    "$RECYCLE.BIN/$R000.png",
    "._000.png",
    "Thumbs.db",
    "desktop.ini",
    ".DS_Store",
]


@pytest.mark.parametrize("place", ["cat", ""])
@pytest.mark.parametrize("name", SYSTEM)
def test_files_of_a_system_are_left_out_and_counted(name: str, place: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pets", 8)
    path = folder / place / name
    if not place and name.startswith("deeper"):
        pytest.skip("deeper is a class there")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(900)).save(path, "PNG")
    opened = open_source("mine", own(folder), tmp_path)
    assert len(opened.given["all"]) == 16
    assert opened.source.class_names == ("cat", "dog")
    assert opened.facts["files_left_out"] == {SYSTEM_FILES: 1}


@pytest.mark.parametrize("name", ["thumbs", "Thumbnails", "_thumb"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("place", ["cat", "cat/deeper"])
def test_thumbnails_of_the_images_beside_them_are_left_out(
    name: str, suffix: str, place: str, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pets", 8)
    (folder / place / name).mkdir(parents=True)
    for number in range(3):
        if place != "cat":
            shutil.copy(folder / f"cat/{number:03}.png", folder / place)
        small = Image.fromarray(picture(number, 4, 4))
        small.save(folder / place / name / f"{number:03}.{suffix}")
    opened = open_source("mine", own(folder), tmp_path)
    assert len(opened.given["all"]) == (16 if place == "cat" else 19)
    assert opened.facts["files_left_out"] == {SYSTEM_FILES: 3}


@pytest.mark.parametrize("name", ["thumbs", "small"])
def test_images_that_may_be_of_thumbs_are_kept(name: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "hands", 8)
    (folder / "cat" / name).mkdir()
    other = "900" if name == "thumbs" else "000"  # no image of this name is beside the folder
    for stem in ("001", other):
        Image.fromarray(picture(900)).save(folder / "cat" / name / f"{stem}.png")
    opened = open_source("mine", own(folder), tmp_path)
    assert len(opened.given["all"]) == 18 and not opened.facts["files_left_out"]


def test_files_of_other_kinds_beside_classes_and_splits_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    for split, first in (("Training", 0), ("Testing", 100)):
        fill(folder / split, 8, first=first)
        (folder / split / "labels.csv").touch()
    for name in ("README.txt", "LICENCE"):
        (folder / name).touch()
    opened = open_source("mine", own(folder, splits="given"), tmp_path)
    assert opened.facts["files_left_out"] == {".csv": 2, ".txt": 1, "no suffix": 1}


def make_odd(path: Path, kind: str) -> None:
    """Put something at a path that is called an image and is none."""
    if kind == "a dangling link":
        path.symlink_to("gone.png")
    elif kind == "a link to itself":
        path.symlink_to(path.name)
    elif kind == "a folder":
        path.mkdir()
        Image.fromarray(picture(901)).save(path / "inner.png")
    elif kind == "a link to a folder":
        path.symlink_to(path.parent)
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))
    else:
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("a dangling link", "is a link to a file that is not there"),
        ("a link to itself", "cannot be decoded"),
        ("a folder", "is a folder, not a file"),
        ("a link to a folder", "is a folder, not a file"),
        ("a pipe", "is a pipe, not a file"),
        ("a socket", "is a socket, not a file"),
        ("an empty file", "is empty"),
    ],
)
def test_what_is_no_file_is_a_bad_image(
    kind: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "pets", 8)
    monkeypatch.chdir(tmp_path)
    make_odd(folder / "cat/odd.png", kind)
    problem = refusal(own(folder), tmp_path)
    assert problem.startswith(f"{folder / 'cat/odd.png'}: {words}")
    card = card_of(own(folder, on_bad_image="skip"), tmp_path)
    assert total(card) == 16
    assert card["skipped"]["count"] == 1 and words in card["skipped"]["images"][0]


def test_a_file_that_may_not_be_read_is_a_bad_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "pets", 8)
    whole = builtins.open

    def denied(path: Any, *others: Any, **options: Any) -> Any:
        if Path(str(path)).name == "003.png":
            raise PermissionError(13, "Permission denied")
        return whole(path, *others, **options)

    monkeypatch.setattr(builtins, "open", denied)
    assert "003.png: cannot be read (Permission denied)" in refusal(own(folder), tmp_path)
    assert card_of(own(folder, on_bad_image="skip"), tmp_path)["skipped"]["count"] == 2
