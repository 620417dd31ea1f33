"""How many splits a study repeats, and where the source leaves none to repeat."""

from __future__ import annotations

from typing import Any

import fake_study
import pytest

from pipeline.study.cells import cells, runs_of, seeds_of
from pipeline.study.params import broken_rules
from pipeline.study.schema import Prepare


def with_splits(count: int, prepare: dict[str, Any], *names: str) -> Any:
    params = fake_study.study(training_images=[None])
    asked = {**params.prepare.model_dump(), **prepare, "datasets": list(names)}
    confirm = params.confirm.model_copy(update={"splits": count})
    return params.model_copy(update={"prepare": Prepare.model_validate(asked), "confirm": confirm})


OWN = {"path": "data/raw/leaves", "kind": "folder", "size": 16, "channels": 1, "fit": "pad"}


@pytest.mark.parametrize(
    ("names", "prepare", "fault"),
    [
        (["digits"], {}, None),
        (["leaves"], {"sources": {"leaves": OWN}}, None),
        (["leaves"], {"sources": {"leaves": {**OWN, "splits": "given"}}}, "the source of leaves"),
        (["mnist"], {}, "the source of mnist says which images are its test"),
        (["digits", "glyphs-half"], {}, "the source of glyphs-half"),
        (["rotated-mnist"], {}, "the source of rotated-mnist"),
        (["digits-20"], {}, "digits-20 has so many training images of each class"),
        (["digits"], {"images_per_class": 20}, "with prepare.images_per_class: 20"),
        (["digits"], {"shrink": 2}, "with prepare.shrink: 2"),
    ],
)
def test_splits_are_repeated_where_the_test_is_not_given(
    names: list[str], prepare: dict[str, Any], fault: str | None
) -> None:
    assert not [one for one in broken_rules(with_splits(1, prepare, *names))
                if one.path == ("confirm", "splits")]  # fmt: skip
    params = with_splits(5, prepare, *names)
    found = [one.fault for one in broken_rules(params) if one.path == ("confirm", "splits")]
    assert [fault in one for one in found] == [True] if fault else not found
    runs = sum(len(seeds_of(params, names[0], cell)) for cell in cells(params, names[0]))
    assert runs_of(params, names[0]) == 5 * runs
