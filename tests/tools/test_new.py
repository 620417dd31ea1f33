"""A study of a folder of images: what is found decides it, and `make study` would run it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import yaml
from image_bytes import png16
from images import fill, picture
from PIL import Image

from pipeline.common.commands import parse
from pipeline.common.errors import UserError
from pipeline.prepare.sources.location import check_locations
from pipeline.prepare.stage import OUTPUT, prepare_all
from pipeline.study.params import load_params
from pipeline.study.schema import Params
from pipeline.study.symmetry import compared_groups
from pipeline.tools import new
from pipeline.tools.support import forecast


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with DVC beside a folder of 24 images, where estimates take no time."""
    (tmp_path / "project/.dvc").mkdir(parents=True)
    (tmp_path / "project/studies").mkdir()
    fill(tmp_path / "raw", 12)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(forecast, "estimate_seconds", lambda *_: 5400.0)
    return tmp_path


def write(name: str = "pets", folder: str = "../raw") -> Params:
    new.main(parse(["new", name, folder]))
    return load_params()


def test_the_study_is_of_these_images_and_runs(project: Path) -> None:
    params = write()
    own = params.prepare.sources["pets"]
    assert (params.study, own.path, own.size, own.fit) == ("pets", "data/raw/pets", 8, "crop")
    assert own.channels == 3 and params.prepare.datasets == ("pets",)
    check_locations(params.prepare)
    text = Path("studies/pets.yaml").read_text()
    assert "24 images in 2 classes: cat 12, dog 12" in text and "about 1 h 30 min" in text
    assert "rounded down to a\n      # multiple of 4, which poolings" in text
    assert yaml.safe_load(text) == yaml.safe_load(Path("params.yaml").read_text())
    linked = sorted(path.relative_to("data/raw/pets") for path in Path("data/raw/pets").rglob("*"))
    assert linked == sorted(path.relative_to("../raw") for path in Path("../raw").rglob("*"))


def test_an_interrupted_new_is_repeated_by_the_same_command(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(new, "findings", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write()
    assert Path("data/raw/pets").is_dir() and not Path("studies/pets.yaml").exists()
    assert write().study == "pets"
    Path("studies/pets.yaml").unlink()
    Path("data/raw/pets/cat/own.png").write_bytes(b"not a link to the folder")
    with pytest.raises(UserError, match="data/raw/pets: is there already"):
        write()


def test_images_are_read_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = write()
    capsys.readouterr()
    prepare_all(params.prepare, OUTPUT)
    assert "resuming after 24 of 24 images" in capsys.readouterr().out
    assert len(list(Path("data/prepare/pets").glob("*_images.npy"))) == 4


def test_comments_say_when_they_were_made_and_name_a_bad_image(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(project / "raw")
    write()
    text = " ".join(Path("params.yaml").read_text().replace("#", " ").split())
    assert text.count("Found by `new` at size 8; ") == 2
    assert "Images that cannot be read and are left out: 1, for example " in text
    said = capsys.readouterr().out
    assert "pets is here: 24 image files, readable or not, in 2 classes" in said
    assert "look at .state/new/pets/samples.png" in said
    assert Path(".state/new/pets/samples.png").is_file()


def grey(folder: Path) -> None:
    for number, file in enumerate(sorted(folder.rglob("*.png"))):
        Image.fromarray(picture(number, 30, 30, 1)).save(file)


def deep(folder: Path) -> None:
    for number, file in enumerate(sorted(folder.rglob("*.png"))):
        file.write_bytes(png16(picture(number, 50, 60, 1).astype(np.uint16)[:, :, None] * 16))


def colour_in_one(folder: Path) -> None:
    grey(folder)
    Image.fromarray(picture(3, 30, 30)).save(folder / "cat/000.png")


def uneven(folder: Path) -> None:
    fill(folder, 30, ["dog"], 100)


def broken(folder: Path) -> None:
    (folder / "cat/000.png").write_bytes(b"none")


def in_splits(folder: Path) -> None:
    for split in ("train", "test"):
        fill(folder / split, 6, ["cat", "dog"], 50 if split == "train" else 200)
    shutil.rmtree(folder / "cat")
    shutil.rmtree(folder / "dog")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (grey, {"size": 28, "fit": "resize", "channels": 1}),
        (deep, {"size": 32, "fit": "crop", "channels": 1}),
        (colour_in_one, {"channels": 3}),
        (uneven, {"class_weights": "balanced", "epochs": 60}),
        (broken, {"on_bad_image": "skip", "class_weights": "none"}),
        (in_splits, {"splits": "given"}),
    ],
)
def test_what_images_are_like_decides(
    change: Callable[[Path], None], expected: dict[str, object], project: Path
) -> None:
    change(project / "raw")
    params = write()
    found = {**params.sweep.model_dump(), **params.prepare.sources["pets"].model_dump()}
    assert {key: found[key] for key in expected} == expected


def outcome(changes: bool, learned: bool = True, oriented: bool = False) -> dict[str, object]:
    change = 0.4 if changes else 0.0
    return {
        "labels_learned": learned, "images_p": 0.001 if oriented else 0.5,
        "images_interval": [0.8, 0.9] if oriented else [0.4, 0.6],
        "label_change": change, "label_change_interval": [change / 2, change],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("half", "quarter", "mirror", "expected"),
    [
        (outcome(False), outcome(False), outcome(False), (["C1", "C4", "D4"], "turn_mirror")),
        (outcome(False), outcome(False), outcome(True), (["C1", "C4"], "turn")),
        (outcome(False), outcome(True), outcome(False), (["C1", "C2", "D2"], "none")),
        (outcome(True), outcome(True), outcome(False), (["C1", "D1"], "none")),
        (outcome(True), outcome(True), outcome(True), (["C1", "C4"], "none")),
        (outcome(False), outcome(False), outcome(False, False), (["C1", "C4", "D4"], "none")),
    ],
)
def test_the_groups_are_those_that_the_symmetry_allows(
    half: object, quarter: object, mirror: object, expected: object
) -> None:
    tests = {"half turn": half, "quarter turn": quarter, "mirror": mirror}
    assert compared_groups({"measured": {"tests": tests}}) == expected
    assert compared_groups({"measured": None}) == (["C1", "C4", "D4"], "none")


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        ("pets", "../nowhere", "nowhere: is no folder"),
        ("pets", "../raw/cat/000.png", "is no folder"),
        ("pets", "../raw/cat", "has images (12) but no sub-folder with images: if this is the"),
        ("pets", "../stacks", "the first: ../stacks/cat/0.tif: is a stack of 2 images: save one"),
        ("pets", "../one", "needs two classes or more, but found cat"),
        ("pets", "../empty", "holds no"),
        ("a b", "../raw", "got 'a b' as a name"),
        ("mnist-20", "../raw", "is a published data set"),
        ("taken", "../raw", "studies/taken.yaml: is there already"),
        ("linked", "../raw", "data/raw/linked: is there already"),
        ("pets", "../few", "too few"),
    ],
)
def test_what_is_no_study_is_refused(name: str, folder: str, message: str, project: Path) -> None:
    fill(project / "one", 4, ["cat"])
    fill(project / "few", 2)
    (project / "empty").mkdir()
    for label in ("cat", "dog"):
        (project / "stacks" / label).mkdir(parents=True)
        page = Image.fromarray(picture(0, 12, 10))
        page.save(project / "stacks" / label / "0.tif", save_all=True, append_images=[page])
    Path("studies/taken.yaml").touch()
    Path("data/raw/linked").mkdir(parents=True)
    with pytest.raises(UserError) as error:
        write(name, folder)
    assert len(error.value.problems) == 1 and "\n" not in str(error.value)
    assert message in str(error.value)
    assert not Path("params.yaml").exists() and not Path("data/raw/pets").exists()


def named(folder: Path, names: Callable[[int], str], first: int = 0) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for at, label in enumerate(("cat", "dog")):
        for number in range(36):
            path = folder / label / names(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(first + 100 * at + number, 12, 10)).save(path)


@pytest.mark.parametrize(
    ("names", "pattern", "written"),
    [
        (lambda i: f"p{i // 3:02}_{i % 3}.png", "^(.+?)_", True),
        (lambda i: f"tumor_{i // 3:03}_tile_{i}.png", "^(.+?_.+?)_", True),
        (lambda i: f"slide{i // 3}/{i}.png", "^(.+?)/", True),
        (lambda i: f"anna-{i}.png" if i < 18 else f"otto-{i}.png", "^(.+?)-", False),
        (lambda i: f"p{i // 12}_{i}.png", "^(.+?)_", False),  # three patients
        (lambda i: f"IMG_{i:04}.png", None, False),
        (lambda i: f"{i:04}_of_36.png", None, False),
        (lambda i: f"{i:04}.png", None, False),
    ],
)  # fmt: skip
def test_names_that_begin_alike_are_groups(
    names: Callable[[int], str],
    pattern: str | None,
    written: bool,
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named(project / "raw", names)
    own = write().prepare.sources["pets"]
    assert own.group_pattern == (pattern if written else None)
    out = capsys.readouterr().out
    assert ("the names of images have" in out) == (pattern is not None)
    assert ("show no patients or slides" in out) == (pattern is None)
    line = f"group_pattern: '{pattern or '^(.+?)_'}'"
    text = Path("studies/pets.yaml").read_text()
    assert line in text and (f"# {line}" in text) != written


def test_groups_that_cannot_be_split_are_left_to_the_user(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every group of given splits is on both sides: the folder's own splits are kept."""
    shutil.rmtree(project / "raw")
    named(project / "raw/train", lambda i: f"p{i // 3:02}_{i % 3}.png")
    named(project / "raw/test", lambda i: f"p{i // 3:02}_{i % 3}.png", first=300)
    own = write().prepare.sources["pets"]
    assert own.group_pattern is None and own.splits == "given"
    out = capsys.readouterr().out
    assert "are not kept in one split" in out and "then uncomment the line" in out
