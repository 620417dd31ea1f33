"""Own data sets in params.yaml: every slip is refused in one line that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.common.errors import UserError
from pipeline.study.params import load_params
from pipeline.study.schema import Params

MINE = {"kind": "folder", "path": "data/raw/mine", "size": 8, "fit": "pad", "channels": 1}


def read(tmp_path: Path, root: Path, name: str = "mine", **changes: Any) -> Params:
    """Read a study of an own data set; None leaves a key out."""
    values = yaml.safe_load((root / "tests/study.yaml").read_text())
    own = {key: value for key, value in {**MINE, **changes}.items() if value is not None}
    values["prepare"] |= {"datasets": [name], "sources": {name: own}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return load_params(tmp_path / "params.yaml")


def test_an_own_data_set_is_read(tmp_path: Path, root: Path) -> None:
    own = read(tmp_path, root, group_pattern="(p[0-9]+)", licence="CC0").prepare.sources["mine"]
    assert (own.kind, own.size, own.splits, own.on_bad_image) == ("folder", 8, "made", "error")


def test_rectangles_and_more_channels_are_read(tmp_path: Path, root: Path) -> None:
    own = read(tmp_path, root, size=[8, 12]).prepare.sources["mine"]
    assert (own.size, own.side) == ((8, 12), 12)
    assert read(tmp_path, root, kind="arrays", channels=13).prepare.sources["mine"].channels == 13


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"kind": "foldr"},
            "mine.kind: got 'foldr'; accepts folder, arrays, parquet; did you mean",
        ),
        ({"size": 0}, "mine.size: got 0; accepts a whole number from 4 to 1024"),
        ({"size": None}, "mine.size: missing; accepts a whole number"),
        ({"fit": "stretch"}, "mine.fit: got 'stretch'; accepts resize, crop, pad"),
        ({"channels": 2}, "mine.channels: got 2; accepts 1 or 3"),
        ({"channels": "3"}, "did you mean '3'?"),
        ({"channels": 5}, "mine.channels: got 5; accepts 1 or 3, or up to 64 with kind: arrays"),
        ({"kind": "arrays", "channels": 65}, "channels: got 65; accepts a whole number from 1 to"),
        (
            {"size": [8, 12, 3]},
            "mine.size: got [8, 12, 3]; accepts a whole number from 4 to 1024 or [h",
        ),
        ({"size": [8, 2]}, "mine.size: got [8, 2]; accepts"),
        ({"size": "8x12"}, "did you mean '[8, 12]'?"),
        ({"path": ""}, "mine.path: got ''; accepts text"),
        ({"pth": "x"}, "mine.pth: unknown key"),
        ({"group_column": "patient"}, "group_column: set with kind: folder; accepts only kind"),
        ({"group_pattern": "("}, "group_pattern: got '(', which is no regular expression"),
        ({"on_bad_image": "ignore"}, "on_bad_image: got 'ignore'; accepts error, skip"),
        ({"value_range": [9, 0]}, "value_range: got [9, 0]; accepts auto, type or [low, high]"),
        ({"value_range": "typ"}, "value_range: got 'typ'; accepts auto, type or [low, high]"),
        ({"pad_value": 0.5}, "pad_value: got 0.5 with dtype: uint8; accepts edge or a whole"),
        ({"pad_value": 9, "dtype": "float32"}, "got 9 with dtype: float32; accepts edge or a"),
        ({"pad_value": 9, "fit": "crop"}, "pad_value: set with fit: crop; accepts only fit: pad"),
        ({"background": "blak"}, "background: got 'blak'; accepts auto, black, white; did you"),
        ({"min_count": 0}, "min_count: got 0; accepts a whole number from 1"),
        ({"name": "mnist"}, "sources.mnist: the name of a known data set"),
        ({"name": "my images"}, "unfit name; accepts 1 to 64 letters"),
        ({"name": "../x"}, "accepts 1 to 64 letters"),
    ],
)
def test_a_slip_is_named(changes: dict[str, Any], words: str, tmp_path: Path, root: Path) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, root, **changes)
    assert any(words in problem for problem in error.value.problems), error.value.problems
    assert all("\n" not in problem for problem in error.value.problems)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"datasets": ["digit"]}, "datasets[0]: got 'digit'; accepts digits, mnist"),
        ({"images_per_class": 5, "train_fraction": 0.5}, "images_per_class: got 5 with"),
        ({"train_fraction": 0}, "train_fraction: got 0; accepts a number above 0 to 1"),
        ({"test_images": 0}, "test_images: got 0; accepts null (all of them)"),
        ({"shrink": 3}, "prepare.shrink: got 3, but digits has 8x8 pixels; accepts one of 1, 2"),
        ({"shrink": 4}, "prepare.shrink: got 4, but digits has 8x8 pixels; accepts one of 1, 2"),
        ({"allow_leaks": "yes"}, "allow_leaks: got 'yes'; accepts true or false"),
        ({"sources": []}, "prepare.sources: got []; accepts a mapping of names to mappings with"),
    ],
)
def test_a_mistake_in_prepare_is_named(
    changes: dict[str, Any], words: str, tmp_path: Path, root: Path
) -> None:
    values = yaml.safe_load((root / "tests/study.yaml").read_text())
    values["prepare"] |= changes
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    with pytest.raises(UserError) as error:
        load_params(tmp_path / "params.yaml")
    assert any(words in problem for problem in error.value.problems), error.value.problems
