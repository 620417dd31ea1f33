"""Which network to use, where the symmetry of the labels is not known, and near the ceiling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from partial import Partial
from synthetic import PROVENANCE, Row, Shape, write_study

from pipeline.report.files import markdown
from pipeline.report.load import Settings
from pipeline.report.page import page
from pipeline.report.text import advice, summary

SHAPE = Shape(datasets=("cells",), groups=("C1", "C4", "D4"), encodings=("relative",), depths=(1,),
              trials=1, epochs=1)  # fmt: skip
BASELINE = {"group": "C1", "positional": "relative", "augment": "none"}
Change = Callable[[dict[str, list[Row]]], None]


def accuracies(found: Mapping[str, float], images: int, cost: float | None = 1.0) -> Change:
    """Give networks these accuracies, validate all alike, and test on so many images."""

    def change(tables: dict[str, list[Row]]) -> None:
        for run in tables["runs"]:
            values = {name for name in run if name.startswith("test_accuracy")}
            run |= dict.fromkeys(values, found[run["group"]] + 0.0005 * (run["seed"] - 102))
            run |= {"test_images": images, "validation_accuracy": 1.0}
            run["training_flops"] = None if cost is None else int(run["training_flops"] * cost)

    return change


def of(folder: Path, change: Change, **known: object) -> Partial:
    symmetry = {"labels": None, "classes": 4, **known}
    shape = replace(SHAPE, provenance={**PROVENANCE, "data_symmetry": symmetry})
    return Partial.of(write_study(folder, shape, change), baseline=BASELINE)


CEILING = {"C1": 0.998, "C4": 0.996, "D4": 0.999}


@pytest.fixture(scope="module")
def ceiling(tmp_path_factory: pytest.TempPathFactory) -> Partial:
    """Every network classifies nearly all of a few test images."""
    return of(tmp_path_factory.mktemp("ceiling"), accuracies(CEILING, 100), group="D4")


def test_near_the_ceiling_the_finding_is_that_the_cheapest_is_enough(ceiling: Partial) -> None:
    assert summary.finding(ceiling) == (
        "On quarter-turned test images of cells, the networks are not shown to differ: they "
        "classify 99.6 % to 99.9 % correctly, so that the cheapest is enough: a network without "
        "symmetry (C1), at 0.12 times the FLOPs (arithmetic operations) of training of D4"
    )
    assert advice.which_network(ceiling) == (
        "Which network to use: a network without symmetry (C1), as this test shows none to be "
        "better. One training takes 2.7 s with C1, 9.0 s with D4."
    )


def test_numbers_are_those_of_the_recommended_group_and_of_the_cheapest(ceiling: Partial) -> None:
    built, least, difference = (number.label for number in summary.key_numbers(ceiling))
    assert "(D4), on quarter-turned" in built and "(C1), the cheapest, not shown to be" in least
    assert difference.startswith(
        "the difference: undecided, for 8 times the FLOPs (arithmetic operations) of training "
        "(9.0 s a run against 2.7 s)"
    )


@pytest.mark.parametrize(("group", "built"), [(None, "C4"), ("C4", "C4"), ("D4", "D4")])
def test_of_groups_that_validate_alike_the_recommended_one_is_compared(
    tmp_path: Path, group: str | None, built: str
) -> None:
    rows = of(tmp_path, accuracies(CEILING, 100), group=group).overview
    assert set(rows[rows["reference"]]["group"]) == {built}


def test_a_better_validation_accuracy_comes_before_the_recommendation(tmp_path: Path) -> None:
    def change(tables: dict[str, list[Row]]) -> None:
        accuracies(CEILING, 100)(tables)
        for run in tables["runs"]:
            run["validation_accuracy"] -= 0.01 * (run["group"] == "D4")

    rows = of(tmp_path, change, group="D4").overview
    assert set(rows[rows["reference"]]["group"]) == {"C4"}


def test_few_images_far_from_the_ceiling_do_not_say_which_network_to_use(tmp_path: Path) -> None:
    found = of(tmp_path, accuracies({"C1": 0.7, "C4": 0.75, "D4": 0.74}, 60))
    said = summary.finding(found)
    assert "not shown to differ: they classify 70.0 % to 75.0 %" in said and "enough" not in said
    assert "; the cheapest is a network without symmetry (C1), at 0.12 times" in said
    answer = advice.which_network(found)
    assert answer.startswith("Which network to use: this test does not say. The cheapest is a ")
    assert "most accurate on these images is a network with quarter turns built in (C4)." in answer


def test_with_many_images_the_networks_are_the_same_within_the_margin(tmp_path: Path) -> None:
    said = summary.finding(of(tmp_path, accuracies(CEILING, 3000)))
    assert "the networks are the same within 1 point: they classify 99.6 % to 99.9 %" in said


def test_a_decided_verdict_names_the_symmetry_built_in(tmp_path: Path) -> None:
    found = of(tmp_path, accuracies({"C1": 0.7, "C4": 0.9, "D4": 0.9}, 2000))
    assert "classifies 90.0 % correctly, clearly better than the best" in summary.finding(found)
    assert advice.which_network(found) == (
        "Which network to use: symmetry built in (C4). One training takes 2.7 s with C1, 9.0 s "
        "with D4."
    )


def test_without_known_cost_nothing_is_called_the_cheapest(tmp_path: Path) -> None:
    found = of(tmp_path, accuracies(CEILING, 100, None))
    assert summary.finding(found).endswith("they classify 99.6 % to 99.9 % correctly")
    assert "not shown to be worse" not in str(summary.key_numbers(found))
    assert advice.which_network(found).startswith(
        "Which network to use: this test does not say. One training takes 2.7 s"
    )


def test_the_answer_is_on_the_first_screen(tmp_path: Path) -> None:
    from pipeline.report.analysis.analysis import analyse
    from pipeline.report.load import load_study

    data = write_study(tmp_path, SHAPE, accuracies(CEILING, 100))
    found = analyse(load_study(Settings("digits", baseline=BASELINE), data))
    whole, document = page.page(found, []), markdown.report(found, [])
    assert "Which network to use: a network" in whole[: whole.index("<nav")]
    assert "Which network to use: a network" in document[: document.index("## Results")]


def test_of_known_symmetry_the_finding_is_the_answer(tmp_path: Path) -> None:
    found = of(tmp_path, accuracies({"C1": 0.7, "C4": 0.9, "D4": 0.9}, 2000), labels="D")
    assert advice.which_network(found) == ""
