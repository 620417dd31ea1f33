"""params.yaml: every valid study is read as it is written, and editors know its schema."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from study_texts import DEFAULT, read, refused, study

from pipeline.common.errors import UserError
from pipeline.study import models
from pipeline.study.cells import Cell, cells
from pipeline.study.params import load_params, parse_yaml
from pipeline.study.schema import SCHEMA_FILE, schema_text


def test_study_of_the_project_is_valid(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    params = load_params(root / "params.yaml")
    values = yaml.safe_load(text)
    for block in values["sweep"].get("include", ()):  # one value is read as a list of one
        block.update({axis: x if isinstance(x, list) else [x] for axis, x in block.items()})
    assert params.model_dump(mode="json", exclude_unset=True) == values


def test_study_is_read_as_written(tmp_path: Path) -> None:
    params = read(tmp_path, DEFAULT)
    assert params.sweep.group == ("C1", "C4", "D4")
    assert params.sweep.positional == ("none", "absolute", "relative")
    assert params.sweep.search_space["learning_rate"].log is True
    assert params.model_dump(mode="json", exclude_unset=True) == yaml.safe_load(DEFAULT)


@pytest.mark.parametrize("axis", ["augment", "training_images"])
def test_a_study_without_the_axis_has_one_value_of_it(tmp_path: Path, axis: str) -> None:
    params = read(tmp_path, DEFAULT)
    default = Cell.__dataclass_fields__[axis].default
    assert {getattr(cell, axis) for cell in cells(params)} == {default}


def test_one_augmentation_may_be_a_single_word(tmp_path: Path) -> None:
    params = read(tmp_path, study(sweep__augment="turn"))
    assert params.sweep.augment == ("turn",)
    assert all(cell.name.endswith("-turn") for cell in cells(params))


def test_parameters_do_not_change_after_reading(tmp_path: Path) -> None:
    params = read(tmp_path, DEFAULT)
    with pytest.raises(ValueError, match="frozen"):
        params.sweep.epochs = 1


def required(root: Path) -> str:
    """The study of docs/sweep.md that has the required keys alone."""
    page = (root / "docs/sweep.md").read_text().partition("\n## Required keys\n")[2]
    return page.partition("```yaml\n")[2].partition("```")[0]


def test_the_shortest_study_of_the_page_is_valid(tmp_path: Path, root: Path) -> None:
    params = read(tmp_path, required(root))
    assert params.sweep.architecture.encoding == "auto" and params.report.confidence == 0.95


def test_every_key_of_the_shortest_study_is_required(tmp_path: Path, root: Path) -> None:
    whole = yaml.safe_load(required(root))
    places: list[tuple[str, ...]] = [(name,) for name in whole]
    places += [
        (name, key) for name in whole if isinstance(whole[name], dict) for key in whole[name]
    ]
    places += [("sweep", "architecture", key) for key in whole["sweep"]["architecture"]]
    places += [("report", "baseline", key) for key in whole["report"]["baseline"]]
    accepted = []
    for place in places:
        values = copy.deepcopy(whole)
        inner = values
        for name in place[:-1]:
            inner = inner[name]
        del inner[place[-1]]
        try:
            read(tmp_path, yaml.safe_dump(values))
        except UserError as error:
            assert f"{'.'.join(place)}: missing" in str(error) or "channels" in str(error)
        else:
            accepted.append(place)
    assert not accepted


@st.composite
def valid_studies(draw: st.DrawFn) -> str:
    """Studies that differ from the default one in everything that is free to differ."""
    groups = st.builds("{}{}".format, st.sampled_from("CD"), st.integers(1, 64))
    group = draw(st.lists(groups, min_size=1, max_size=8, unique=True))
    positional = draw(st.permutations(["none", "absolute", "relative"]))
    low = draw(st.floats(1e-6, 0.4))
    seeds = draw(st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=9, unique=True))
    return study(
        sweep__group=group,
        sweep__positional=positional,
        sweep__depth=draw(st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True)),
        sweep__architecture__window=draw(st.sampled_from([None, 1, 3])),
        sweep__architecture__form=draw(st.sampled_from(["framewise", "joint"])),
        sweep__trials_per_cell=draw(st.integers(1, 1000)),
        sweep__search_space__dropout={"low": low, "high": low + 0.5, "log": draw(st.booleans())},
        confirm__seeds=seeds,
        confirm__angles=4 * draw(st.integers(1, 900)),
        report__baseline__group=draw(st.sampled_from(group)),
        resources__gpus_per_trial=draw(st.sampled_from([0, 0.5, 1])),
    )


@settings(max_examples=20, deadline=None)
@given(text=valid_studies())
def test_valid_study_is_accepted(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    params = read(tmp_path_factory.mktemp("valid"), text)
    assert params.model_dump(mode="json", exclude_unset=True).keys() == yaml.safe_load(text).keys()


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "0.001", ".001", "1.0e-3"])
def test_small_number_may_be_written_in_every_way(tmp_path: Path, number: str) -> None:
    text = DEFAULT.replace("low: 0.001", f"low: {number}")
    assert read(tmp_path, text).sweep.search_space["learning_rate"].low == 0.001


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0o17", 15), ("012", 12), ("1_000", 1000), ("1e3", 1000.0), ("'12'", "12"), ("no", "no"),
        ("2026-01-01", "2026-01-01"), ("-_", "-_"), ("~", None), ("TRUE", True), (".inf", math.inf),
    ],
)  # fmt: skip
def test_scalars_are_read_as_dvc_reads_them(written: str, value: Any) -> None:
    read_here = parse_yaml(f"a: {written}", "params.yaml").values["a"]
    assert (read_here, type(read_here)) == (value, type(value))
    if not (isinstance(value, str) and value in ("2026-01-01", "-_")):  # text here, no number
        assert YAML(typ="safe").load(f"a: {written}")["a"] == value


def test_schema_for_editors_is_up_to_date(root: Path) -> None:
    kept = (root / SCHEMA_FILE).read_text()
    assert kept == schema_text(), "run `python -m pipeline.study.schema`"


@pytest.mark.parametrize(
    ("section", "key", "expected"),
    [
        ("Sweep", "sampler", {"enum": ["tpe", "random", "qmc", "grid", "cmaes"]}),
        ("Sweep", "trials_per_cell", {"type": "integer", "minimum": 1, "maximum": 10_000}),
        ("Report", "confidence", {"type": "number", "minimum": 0.5, "exclusiveMaximum": 1}),
        ("Confirm", "angles", {"multipleOf": 4}),
        ("Baseline", "group", {"pattern": "^[CD]([1-9]|[1-5][0-9]|6[0-4])$"}),
        ("Resources", "workers", {"anyOf": [
            {"const": "auto", "type": "string"},
            {"type": "integer", "minimum": 1, "maximum": 100_000},
        ]}),
    ],
)  # fmt: skip
def test_schema_for_editors_says_what_is_accepted(
    section: str, key: str, expected: dict[str, Any]
) -> None:
    definition = json.loads(schema_text())["$defs"][section]
    assert not definition["additionalProperties"]
    assert expected.items() <= definition["properties"][key].items()


def test_every_key_says_what_it_is() -> None:
    sections = {"params.yaml": json.loads(schema_text()), **json.loads(schema_text())["$defs"]}
    assert not [
        f"{section}: {key}"
        for section, definition in sections.items()
        for key, says in definition["properties"].items()
        if not {"description", "$ref"} & set(says)
    ]


def test_studies_name_the_schema_in_their_first_line(root: Path) -> None:
    for path in (root / "params.yaml", *(root / "studies").glob("*.yaml")):
        place = path.read_text().splitlines()[0].removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / place).resolve() == root / SCHEMA_FILE


@pytest.mark.parametrize("number", [0, 1, 0.5])
def test_numbers_stay_as_they_are_written(tmp_path: Path, number: float) -> None:
    params = read(tmp_path, study(resources__gpus_per_trial=number))
    dumped = params.model_dump(mode="json")["resources"]["gpus_per_trial"]
    assert (dumped, type(dumped)) == (number, type(number))


def test_a_thousand_seeds_are_read_and_each_wrong_one_is_named(tmp_path: Path) -> None:
    seeds = tuple(range(1, 1001))
    assert read(tmp_path, study(confirm__seeds=list(seeds))).confirm.seeds == seeds
    assert len(refused(tmp_path, study(confirm__seeds=["x"] * 1000))) == 1000
    assert "got 1001 values" in refused(tmp_path, study(confirm__seeds=[*seeds, 1001]))[0]


def test_encodings_are_those_of_the_library() -> None:
    from gsa_core.attention.encodings import registry

    assert {name: one.kinds for name, one in registry.POSITIONAL.items()} == models.POSITIONAL
