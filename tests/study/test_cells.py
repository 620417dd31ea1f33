"""Which cells a study has, by blocks that are included or skipped, and where each is searched."""

from __future__ import annotations

import datetime
from typing import Any

import fake_study
import pytest
from pydantic import ValidationError

from pipeline.study.cells import Cell, cells, left_out, networks, pairs, runs_of, seeds_of
from pipeline.study.messages import explain
from pipeline.study.params import broken_rules
from pipeline.study.schema import Confirm, Sweep
from pipeline.study.tuning import searched, searches

SECONDS = {
    "epochs": None,
    "match": {"of": "seconds", "at": 9, "parameters": 5000},
    "search_space": {"learning_rate": {"low": 0.001, "high": 0.01}},
}


def study(datasets: list[str], **section: Any) -> Any:
    section = {"augment": ["none", "turn"], "training_images": [None, 100], **section}
    params = fake_study.study(**section)
    prepare = params.prepare.model_copy(update={"datasets": tuple(datasets)})
    return params.model_copy(update={"prepare": prepare})


BOTH = ["digits", "mnist"]


def names(found: list[Cell]) -> list[str]:
    return [cell.name.replace("gsa-", "").replace("-relative-d1-stem", "") for cell in found]


def test_without_rules_every_data_set_has_every_cell() -> None:
    params = study(BOTH)
    assert cells(params) == cells(params, "mnist") == networks(params)
    assert len(pairs(params)) == 2 * 3 * 2 * 2
    assert left_out(params) == {}


CHOSEN = {
    "one block": ({"include": [{"group": ["C4"]}]}, ["C4", "C4-n100", "C4-turn", "C4-turn-n100"]),
    "single values": ({"include": [{"group": "C4", "augment": "none"}]}, ["C4", "C4-n100"]),
    "null is a value": (
        {"include": [{"group": "C4", "training_images": None}]}, ["C4", "C4-turn"],
    ),
    "two blocks": (
        {"include": [{"group": "C1", "training_images": 100}, {"group": "D4", "augment": "turn"}]},
        ["C1-n100", "C1-turn-n100", "D4-turn", "D4-turn-n100"],
    ),
    "skipped": (
        {"skip": [{"group": ["C4", "D4"]}, {"augment": "turn", "training_images": 100}]},
        ["C1", "C1-n100", "C1-turn"],
    ),
    "included, but skipped": (
        {"include": [{"group": "C1"}], "skip": [{"augment": "turn"}]}, ["C1", "C1-n100"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "expected"), CHOSEN.values(), ids=CHOSEN)
def test_a_study_has_the_cells_that_its_rules_choose(
    rules: dict[str, Any], expected: list[str]
) -> None:
    params = study(["digits"], **rules)
    assert names(cells(params)) == expected
    assert sum(map(len, left_out(params).values())) == len(networks(params)) - len(expected)
    assert not list(broken_rules(params))


def test_rules_may_be_of_one_data_set() -> None:
    whole = {"dataset": "digits"}
    few = {"dataset": "mnist", "group": ["C1", "D4"], "augment": "none"}
    params = study(BOTH, include=[whole, few], skip=[{"dataset": "mnist", "training_images": 100}])
    assert len(cells(params, "digits")) == 12
    assert names(cells(params, "mnist")) == ["C1", "D4"]
    assert len(cells(params)) == 12 and len(pairs(params)) == 14
    assert {rule: len(found) for rule, found in left_out(params).items()} == {
        "in no block of sweep.include": 8,
        "sweep.skip[0]: {dataset: [mnist], training_images: [100]}": 2,
    }


def test_only_data_sets_with_so_many_images_are_asked_for_them() -> None:
    section = {"training_images": [None, 5000], "group": ["C1"]}
    few = [{"training_images": None}, {"dataset": "mnist"}]
    assert not list(broken_rules(study(BOTH, **section, include=few)))
    [problem] = broken_rules(study(BOTH, **section))
    assert problem.fault == "got 5000, but digits has about 1,088 training images"


REFUSED = {
    "a value of no cell": ({"skip": [{"group": ["C4", "C8"]}]}, "skip[0].group[1]: got 'C8'", ""),
    "another data set": ({"include": [{"dataset": "digit"}]}, "got 'digit'", "digits"),
    "images of no cell": ({"skip": [{"training_images": 300}]}, "got '300'", ""),
    "a block without a cell": (
        {"include": [{"group": "C1"}, {"model": "gsa", "group": "C4"}],
         "skip": [{"group": "D4", "augment": "turn"}]},
        "skip[0]: got {group: [D4], augment: [turn]}, in which no cell is", "",
    ),
    "nothing left": ({"skip": [{"model": "gsa"}]}, "got 'digits', of which sweep.include", ""),
    "a value that a model fixes": (
        {"model": ["gsa", "vit"], "tokens": ["stem"],
         "include": [{"model": "gsa"}, {"model": "vit", "group": "C4"}]},
        "include[1]: got {model: [vit], group: [C4]}, in which no cell is", "",
    ),
    "an unknown search": (
        {"tuned_on": {"digits": "mnst"}}, "tuned_on.digits: got 'mnst', which is not searched",
        "mnist",
    ),
    "an unknown user": ({"tuned_on": {"digit": "mnist"}}, "tuned_on.digit: no data set", "digits"),
    "a search of oneself": ({"tuned_on": {"digits": "digits"}}, "which is not searched", ""),
    "a chain": (
        {"tuned_on": {"digits": "mnist", "mnist": "digits"}}, "'mnist', which is not searched", "",
    ),
    "a cell that is not searched there": (
        {"tuned_on": {"digits": "mnist"}, "skip": [{"dataset": "mnist", "group": "C4"}]},
        "tuned_on.digits: got 'mnist', which has no cell gsa-C4-relative-d1-stem", "",
    ),
    "a search of no cell": (
        {"tuned_as": {"group": "C4"}, "skip": [{"group": "C4", "augment": "turn"}]},
        "tuned_as: got {group: [C4]}, but digits has no cell gsa-C4-relative-d1-stem-turn", "",
    ),
    "a search by an unknown value": (
        {"tuned_as": {"group": "C3"}}, "tuned_as.group: got 'C3', which no cell", "",
    ),
    "a search without what others need": (
        {"model": ["staged", "staged_gcnn"], "tokens": ["trunk"],
         "tuned_as": {"model": "staged_gcnn"},
         "search_space": {"dropout": {"choices": [0.1]}, "learning_rate": {"choices": [0.1]}}},
        "tuned_as: got {model: [staged_gcnn]}, but staged_gcnn has no dropout", "",
    ),
    "seconds of another cell": (
        {"tuned_as": {"group": "C4"}, **SECONDS},
        "tuned_as: set with match: {of: seconds}", "",
    ),
    "a short search where seconds decide": (
        {"search_epochs": 2, **SECONDS},
        "search_epochs: got 2 with match: {of: seconds}", "",
    ),
    "seconds of another data set": (
        {"tuned_on": {"digits": "mnist"}, **SECONDS},
        "tuned_on: set with match: {of: seconds}", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "fault", "meant"), REFUSED.values(), ids=REFUSED)
def test_a_rule_without_a_use_is_refused(rules: dict[str, Any], fault: str, meant: str) -> None:
    problems = list(broken_rules(study(BOTH, **rules)))
    places = [
        "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in one.path)
        for one in problems
    ]
    found = [f"{place}: {one.fault}" for place, one in zip(places, problems, strict=True)]
    assert any(fault in text for text in found), found
    assert not meant or meant in [one.meant for one in problems]


WRONG = [1.5, True, {"a": 1}, [], [[1]], "not a name", datetime.date(2020, 1, 1)]


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize("key", ["include", "skip"])
def test_a_wrong_value_in_a_block_is_named(key: str, value: Any) -> None:
    section = {
        **study(BOTH).model_dump(exclude_unset=True)["sweep"],
        key: [{"depth": 1}, {"augment": value}],
    }
    with pytest.raises(ValidationError) as refused:
        Sweep.model_validate(section)
    [problem] = {one.path: one for one in explain(refused.value, Sweep, section)}.values()
    assert problem.path[:3] == (key, 1, "augment")
    assert "a list of 1 to 64 values" in problem.accepts or "a name" in problem.accepts


def test_all_cells_may_use_the_search_of_one() -> None:
    params = study(BOTH, tuned_as={"group": "C4", "augment": "none"}, tune_images="largest")
    assert names(searched(params, "mnist")) == ["C4"]
    found = searches(params, "digits")
    assert list(found) == cells(params)
    assert {cell.name for _, cell in filter(None, found.values())} == {"gsa-C4-relative-d1-stem"}


def test_a_model_may_use_the_search_of_another() -> None:
    params = fake_study.study(
        model=["staged", "staged_gcnn"], tokens=["trunk"], depth=[2], group=["C4", "C1"],
        tuned_as={"model": "staged", "positional": "relative", "depth": 2},
    )  # fmt: skip
    found = {cell.name: source[1].name for cell, source in searches(params, "digits").items()}
    assert found == {
        f"{model}-{group}-{rest}-trunk": f"staged-{group}-relative-d2-trunk"
        for group in ("C4", "C1")
        for model, rest in (("staged", "relative-d2"), ("staged_gcnn", "none-d3"))
    }


def with_seeds(params: Any, **more: Any) -> Any:
    asked = {**params.confirm.model_dump(), "more_seeds": more}
    return params.model_copy(update={"confirm": Confirm.model_validate(asked)})


def test_some_cells_have_more_seeds() -> None:
    blocks = [{"group": "C4", "augment": "turn"}, {"dataset": "mnist", "group": ["D4"]}]
    params = with_seeds(study(BOTH, training_images=[None]), seeds=[7, 8], include=blocks)
    assert list(broken_rules(params)) == []
    found = {name: [len(seeds_of(params, name, cell)) for cell in cells(params)] for name in BOTH}
    assert found == {"digits": [2, 2, 2, 4, 2, 2], "mnist": [2, 2, 2, 4, 4, 4]}
    assert {name: runs_of(params, name) for name in BOTH} == {"digits": 14, "mnist": 18}
    assert seeds_of(params, "digits", cells(params)[3]) == (101, 102, 7, 8)


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"seeds": [7, 0], "include": [{"group": "C4"}]}, "seeds[1]: got 0, the seed the sweep"),
        ({"seeds": [102], "include": [{"group": "C4"}]}, "seeds[0]: got 102, which confirm.seeds"),
        ({"seeds": [7], "include": [{"group": "C8"}]}, "include[0].group[0]: got 'C8', which no"),
        ({"seeds": [7], "include": [{"augment": "turn", "dataset": "digits", "depth": 1},
                                    {"group": "C4", "model": "vit"}]}, "include[1].model[0]: got"),
    ],
)  # fmt: skip
def test_more_seeds_without_a_use_are_refused(more: dict[str, Any], fault: str) -> None:
    found = [
        "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in one.path)
        + f": {one.fault}"
        for one in broken_rules(with_seeds(study(BOTH), **more))
    ]
    assert any(f"more_seeds.{fault}" in text for text in found), found


def test_a_data_set_may_use_the_search_of_another() -> None:
    params = study(BOTH, tuned_on={"mnist": "digits"})
    assert searched(params, "digits") == cells(params, "digits")
    assert searched(params, "mnist") == []
    assert searches(params, "mnist") == {cell: ("digits", cell) for cell in cells(params)}


def test_fewer_images_may_use_the_search_of_the_most() -> None:
    skip = [{"training_images": None, "group": "D4"}]
    params = study(BOTH, tuned_on={"mnist": "digits"}, tune_images="largest", skip=skip)
    mine = searched(params, "digits")
    assert names(mine) == ["C1", "C1-turn", "C4", "C4-turn", "D4-n100", "D4-turn-n100"]
    for dataset in BOTH:
        for cell, (source, best) in searches(params, dataset).items():
            assert source == "digits" and best in mine
            assert cell.name.removesuffix("-n100") == best.name.removesuffix("-n100")


def test_the_search_of_many_cells_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.study import tuning

    asked = []

    def counted(*arguments: Any) -> list[Cell]:
        asked.append(arguments)
        return cells(*arguments)

    monkeypatch.setattr(tuning, "cells", counted)
    searched(study(BOTH, depth=list(range(1, 65))), "digits")
    assert len(asked) < 5
