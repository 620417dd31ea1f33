"""params.yaml: every valid study is read, every slip is refused in one line that helps."""

from __future__ import annotations

import copy
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.common.errors import UserError
from pipeline.study import models
from pipeline.study.cells import Cell, cells
from pipeline.study.params import Params, load_params
from pipeline.study.schema import SCHEMA_FILE, schema_text
from pipeline.study.yaml_reader import KeyPath, parse_yaml

DEFAULT = (Path(__file__).resolve().parents[1] / "study.yaml").read_text()
SECONDS, MEBIBYTES = 2, 200


def study(**changes: Any) -> str:
    """The default study with values changed by dotted path (``__`` for a dot)."""
    values = yaml.safe_load(DEFAULT)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = values
        for key in parents:
            place = place[key]
        place[last] = value
    return yaml.safe_dump(values, sort_keys=False)


def read(tmp_path: Path, text: str | bytes) -> Params:
    file = tmp_path / "params.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_params(file)


def refused(tmp_path: Path, text: str | bytes) -> list[str]:
    """The sentences with which a study is refused."""
    start = time.process_time()
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert time.process_time() - start < SECONDS
    for problem in caught.value.problems:
        assert re.match(r"params\.yaml:(\d+:)? \S", problem), problem
        assert "\n" not in problem and len(problem) < 500, problem
    return list(caught.value.problems)


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


SLIPS = {
    "C0": (study(sweep__group=["C1", "C0"]), "sweep.group[1]: got 'C0'", "did you mean 'C1'?"),
    "E4": (study(sweep__group=["C1", "E4"]), "sweep.group[1]: got 'E4'", "did you mean 'C4'?"),
    "a bare number": (study(sweep__group=["C1", 4]), "sweep.group[1]: got 4", "'C4'"),
    "no group": (study(sweep__group=[]), "sweep.group: got 0 values", "a list of 1 to"),
    "no list": (study(sweep__group="C4"), "sweep.group: got 'C4'", "did you mean '[C4]'?"),
    "a group twice": (study(sweep__group=["C1", "C1"]), "sweep.group[1]: got 'C1' a second", ""),
    "table with C8": (
        study(sweep__group=["C1", "C8"], sweep__architecture__encoding="table"),
        "sweep.group[1]: got 'C8' with sweep.architecture.encoding 'table'",
        "C1, C2, C4, D1, D2, D4 with a table",
    ),
    "window above the image": (
        study(sweep__architecture__window=9, sweep__tokens=["pixel"]),
        "sweep.architecture.window: got 9, but digits has 8x8 pixel tokens",
        "did you mean '7'?",
    ),
    "window above the stem": (
        study(sweep__architecture__window=5),
        "sweep.architecture.window: got 5, but digits has 4x4 stem tokens",
        "did you mean '3'?",
    ),
    "another augmentation": (
        study(sweep__augment=["none", "quarters"]),
        "sweep.augment[1]: got 'quarters'; accepts none, quarter, turn, turn_mirror",
        "did you mean 'quarter'?",
    ),
    "one augmentation, misspelt": (
        study(sweep__augment="turm"),
        "sweep.augment: got 'turm'",
        "did you mean '[turn]'?",
    ),
    "more images than there are": (
        study(sweep__training_images=[None, 5000]),
        "sweep.training_images[1]: got 5000, but digits has about 1,088 training images",
        "from 10 to 1088",
    ),
    "fewer images than classes": (
        study(sweep__training_images=[9]),
        "sweep.training_images[0]: got 9, but digits has 10 classes",
        "from 10",
    ),
    "more images than images_per_class": (
        study(sweep__training_images=[300], prepare__images_per_class=20),
        "sweep.training_images[0]: got 300, but digits has about 200 training images",
        "",
    ),
    "half an image": (
        study(sweep__training_images=[10.5]),
        "sweep.training_images[0]: got 10.5",
        "null",
    ),
    "a baseline of no augmentation": (
        study(report__baseline__augment="turn"),
        "report.baseline: got group C1, positional absolute, augment turn, which together no cell",
        "",
    ),
    "a baseline with other images": (
        study(report__baseline__training_images=100),
        "report.baseline: got group C1, positional absolute, training_images 100, which together",
        "",
    ),
    "even window": (study(sweep__architecture__window=2), "got 2, which has no middle", "'1'"),
    "zero trials": (
        study(sweep__trials_per_cell=0),
        "sweep.trials_per_cell: got 0; accepts a whole number from 1 to 10000",
        "",
    ),
    "a billion trials": (study(sweep__trials_per_cell=10**9), "got 1000000000; accepts", ""),
    "too many trials": (
        study(sweep__trials_per_cell=10_000, sweep__depth=list(range(1, 31))),
        "sweep.trials_per_cell: got 10000 for each of 270 cells, which is 2,700,000 trials",
        "1,000,000",
    ),
    "a typo": (DEFAULT.replace("epochs:", "epoch:"), "sweep.epoch: unknown key", "'epochs'"),
    "the wrong section": (
        study(confirm__trials_per_cell=3),
        "confirm.trials_per_cell: unknown key",
        "did you mean 'sweep.trials_per_cell'?",
    ),
    "a misspelt section": (DEFAULT.replace("\nreport:", "\nreprot:"), "reprot: unknown", "report"),
    "an unknown name": (
        study(sweep__search_space={"lr": {"low": 0.1, "high": 0.2}}),
        "sweep.search_space.lr: unknown name; accepts learning_rate, weight_decay",
        "did you mean 'learning_rate'?",
    ),
    "a condition on no axis": (
        study(sweep__search_space__dropout={"choices": [0, 0.1], "when": {"grup": ["C4"]}}),
        "sweep.search_space.dropout.when.grup: unknown name; accepts model, group, positional",
        "did you mean 'group'?",
    ),
    "conditions in a list": (
        study(sweep__search_space__dropout={"low": 0, "high": 0.1, "when": ["C4"]}),
        "sweep.search_space.dropout.when: got ['C4']; accepts a mapping of names to values, each",
        "",
    ),
    "text for choices": (
        study(sweep__search_space__dropout={"choices": "0.1"}),
        "sweep.search_space.dropout.choices: got '0.1'; accepts a list of 1 to 64 values, each a",
        "did you mean '[0.1]'?",
    ),
    "an empty space": (study(sweep__search_space={}), "sweep.search_space: got no name", ""),
    "low above high": (
        study(sweep__search_space__dropout={"low": 0.2, "high": 0.1}),
        "sweep.search_space.dropout.low: got 0.2, which is not below high: 0.1",
        "did you mean 'low: 0.1, high: 0.2'?",
    ),
    "a logarithm of zero": (
        study(sweep__search_space__weight_decay={"low": 0, "high": 0.1, "log": True}),
        "sweep.search_space.weight_decay.low: got 0 with log: true",
        "above 0",
    ),
    "a probability of one": (
        study(sweep__search_space__dropout={"choices": [0, 1]}),
        "sweep.search_space.dropout.choices[1]: got 1; accepts a number from 0 below 1",
        "",
    ),
    "half a domain": (
        study(sweep__search_space__dropout={"low": 0.1}),
        "sweep.search_space.dropout.high: missing; accepts a number",
        "",
    ),
    "half a step": (
        study(
            sweep__match=None,
            sweep__search_space__channels={"low": 8, "high": 16, "step": 0.5},
        ),
        "sweep.search_space.channels.step: got 0.5; accepts null or a whole number",
        "",
    ),
    "a width solved and searched": (
        study(sweep__search_space__channels={"choices": [8, 16]}),
        "sweep.match: got parameters, but sweep.search_space.channels searches",
        "did you mean 'null'?",
    ),
    "a width neither solved nor searched": (
        study(sweep__match=None),
        "sweep.match: got null, but sweep.search_space has no 'channels'",
        "",
    ),
    "batch size fixed and searched": (
        study(sweep__search_space__batch_size={"choices": [2, 4]}),
        "sweep.batch_size: got 64, but sweep.search_space.batch_size searches what it would fix",
        "null",
    ),
    "batch size nowhere": (
        study(sweep__batch_size=None),
        "sweep.batch_size: got null, but sweep.search_space has no 'batch_size'",
        "",
    ),
    "batch size in some cells": (
        study(
            sweep__batch_size=None,
            sweep__search_space__batch_size={"choices": [2, 4], "when": {"group": ["C4"]}},
        ),
        "sweep.search_space.batch_size.when: some cells would have none",
        "",
    ),
    "a batch of half an image": (
        study(sweep__batch_size=None, sweep__search_space__batch_size={"choices": [0.5]}),
        "sweep.search_space.batch_size.choices[0]: got 0.5",
        "",
    ),
    "an average of everything": (
        study(sweep__search_space__ema={"choices": [0.9, 1]}),
        "sweep.search_space.ema.choices[1]: got 1",
        "",
    ),
    "no such schedule": (
        study(sweep__schedule="linear"),
        "sweep.schedule: got 'linear'; accepts",
        "",
    ),
    "kernels without a use": (
        study(sweep__architecture__basis="gaussian"),
        "sweep.architecture.basis: got 'gaussian', which no cell of sweep.tokens and",
        "bilinear",
    ),
    "kernel size without a use": (
        study(sweep__architecture__kernel_size=7),
        "sweep.architecture.kernel_size: got 7, which no cell of sweep.tokens and sweep.model has",
        "null",
    ),
    "kernels without a middle": (
        study(sweep__architecture__kernel_size=6),
        "sweep.architecture.kernel_size: got 6, which has no middle; accepts null or an odd",
        "5",
    ),
    "heads fixed and searched": (
        study(sweep__search_space__heads={"choices": [2, 4]}),
        "sweep.architecture.heads: got 4, but",
        "",
    ),
    "a plain transformer twice": (
        study(sweep__model=["gsa", "vit"], sweep__tokens=["patch"]),
        "sweep.model[1]: got 'vit' with 'gsa' with group C1 and tokens patch",
        "one of the two",
    ),
    "symmetrized off the grid": (
        study(sweep__model=["symmetrized"], sweep__group=["C1", "C8"]),
        "sweep.model[0]: got 'symmetrized' with sweep.group C8, whose turns leave the grid",
        "C1, C2, C4, D1, D2, D4",
    ),
    "a published width solved": (
        study(sweep__model=["gsa", "published_rotmnist"]),
        "sweep.match: got parameters with sweep.model published_rotmnist, whose width",
        "did you mean 'null'?",
    ),
    "nothing to search of a model": (
        study(
            sweep__model=["gcnn"],
            sweep__search_space={"dropout": {"choices": [0, 0.1]}},
        ),
        "sweep.model[0]: got 'gcnn', which has nothing of sweep.search_space (dropout)",
        "learning_rate",
    ),
    "patches that do not tile": (
        study(sweep__tokens=["patch"], sweep__architecture__patch_size=3),
        "sweep.architecture.patch_size: got 3, which does not tile digits (8x8) symmetrically",
        "1, 2, 4, 5, 6, 7, 8",
    ),
    "a stem of threes": (
        study(sweep__architecture__patch_size=3),
        "sweep.architecture.patch_size: got 3 with stem tokens; accepts null or 2, 4, 8, 16",
        "",
    ),
    "an encoding that no cell uses": (
        study(sweep__architecture__encoding="continuous", sweep__positional=["none", "rotary"]),
        "sweep.architecture.encoding: got 'continuous', which no cell",
        "auto",
    ),
    "a table of distances alone": (
        study(sweep__architecture__encoding="table", sweep__positional=["radial"]),
        "sweep.architecture.encoding: got 'table', which no cell",
        "auto",
    ),
    "a patch size that no tokens have": (
        study(sweep__architecture__patch_size=2, sweep__tokens=["pixel", "trunk"]),
        "sweep.architecture.patch_size: got 2, which no cell",
        "null",
    ),
    "a bound on tokens that have no patches": (
        study(sweep__architecture__max_tokens=16, sweep__tokens=["pixel"]),
        "sweep.architecture.max_tokens: got 16, which no cell",
        "null",
    ),
    "a patch size and a bound on tokens": (
        study(sweep__architecture__max_tokens=16, sweep__architecture__patch_size=2),
        "sweep.architecture.patch_size: got 2 with max_tokens",
        "null",
    ),
    "a window that no model has": (
        study(sweep__architecture__window=3, sweep__model=["gcnn"]),
        "sweep.architecture.window: got 3, which no model",
        "null",
    ),
    "a shape without a window": (
        study(sweep__architecture__window_shape="disc"),
        "sweep.architecture.window_shape: got 'disc' with window null",
        "auto",
    ),
    "the sweep's seed confirmed": (
        study(confirm__seeds=[101, 0]),
        "confirm.seeds[1]: got 0, the seed the sweep tuned with",
        "",
    ),
    "a seed twice": (study(confirm__seeds=[101, 101]), "confirm.seeds[1]: got 101 a second", ""),
    "angles without quarters": (
        study(confirm__angles=30),
        "confirm.angles: got 30; accepts a multiple of 4",
        "did you mean '28'?",
    ),
    "a baseline without a cell": (
        study(report__baseline__group="C2"),
        "report.baseline.group: got 'C2', which no cell of the study has; accepts what sweep.group",
        "",
    ),
    "a baseline that is no cell": (
        study(report__baseline__model="gcnn"),
        "report.baseline: got group C1, positional absolute, model gcnn, which together no cell",
        "",
    ),
    "percent": (study(report__confidence="95%"), "report.confidence: got '95%'", "'0.95'"),
    "quoted number": (study(sweep__epochs="12"), "sweep.epochs: got '12'", "did you mean '12'?"),
    "float for a count": (study(sweep__epochs=12.0), "sweep.epochs: got 12.0", "'12'"),
    "yes": (
        DEFAULT.replace("log: true", "log: yes"),
        "sweep.search_space.learning_rate.log: got 'yes'; accepts true or false",
        "did you mean 'true'?",
    ),
    "true for a count": (study(sweep__epochs=True), "sweep.epochs: got true", ""),
    "infinity": (
        DEFAULT.replace("high: 0.01,", "high: .inf,"),
        "sweep.search_space.learning_rate.high: got inf",
        "",
    ),
    "null for none": (
        DEFAULT.replace("[none,", "[null,"),
        "sweep.positional[0]: got null",
        "did you mean 'none'?",
    ),
    "none for null": (
        DEFAULT.replace("window: null", "window: none"),
        "sweep.architecture.window: got 'none'",
        "did you mean 'null'?",
    ),
    "no data left to train": (
        study(prepare__validation_fraction=0.6, prepare__test_fraction=0.4),
        "prepare.test_fraction: got 0.4 with validation_fraction 0.6, which leaves 0%",
        "",
    ),
    "a path as a name": (study(study="../x"), "study: got '../x'", "did you mean 'x'?"),
    "a missing section": (DEFAULT.partition("\nresources:")[0], "resources: missing; accepts", ""),
}


@pytest.mark.parametrize(("text", "sentence", "hint"), SLIPS.values(), ids=SLIPS)
def test_slip_is_named_with_what_helps(tmp_path: Path, text: str, sentence: str, hint: str) -> None:
    problems = refused(tmp_path, text)
    assert any(sentence in problem and hint in problem for problem in problems), problems


NOT_A_STUDY = {
    "empty": b"",
    "comment alone": b"# nothing\n",
    "list": b"- study\n",
    "word": b"study\n",
    "not UTF-8": DEFAULT.encode().replace(b"digits", b"dig\xefts", 1),
    "UTF-16": DEFAULT.encode("utf-16"),
    "control character": DEFAULT.encode() + b"x: \x07\n",
    "tab": DEFAULT.replace("  seed", "\tseed").encode(),
    "duplicate key": DEFAULT.replace("  epochs: 12", "  epochs: 12\n  epochs: 13").encode(),
    "duplicate section": DEFAULT.encode() + b"report: {}\n",
    "date": DEFAULT.replace("study: ", "study: 2026-01-01 # ")
    .encode()
    .replace(b"seed: 0", b"seed: 2026-01-01"),
    "two documents": DEFAULT.encode() + b"---\n" + DEFAULT.encode(),
    "python tag": b"study: !!python/object/apply:os.system ['echo hi']\n",
    "own tag": b"study: !x digits\n",
    "binary tag": b"study: !!binary aGk=\n",
    "alias": b"study: &a digits\nprepare: *a\n",
    "bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in b"bcdefghi"),
    "merge key": b"a: &a {x: 1}\nb:\n  <<: *a\n",
    "deep": b"[" * 50_000,
    "deep mapping": b"".join(b" " * n + b"a:\n" for n in range(300)),
    "huge": b"study: " + b"x" * 1_000_000,
    "long number": b"study: " + b"9" * 60_000,
    "unclosed": b"study: [\n",
    "complex key": b"? [a, b]\n: c\n",
}


@pytest.mark.parametrize("text", NOT_A_STUDY.values(), ids=NOT_A_STUDY)
def test_what_is_no_study_is_refused(tmp_path: Path, text: bytes) -> None:
    assert len(refused(tmp_path, text)) >= 1


def key_paths(values: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of every key, of nested mappings too."""
    for key, value in values.items() if isinstance(values, dict) else ():
        yield (*path, key)
        yield from key_paths(value, (*path, key))


PATHS = tuple(key_paths(yaml.safe_load(DEFAULT)))
MISTAKES: dict[str, Any] = {
    "text": "wrong thing!",
    "nested": {"x": [1]},
    "negative": -1e10,
    "nan": float("nan"),
    "null": None,
    "flag": True,
    "typo": None,
}
# What is null with matched seconds is refused by a rule, after all that is of the wrong kind.
VALID = {
    "null": ("window", "heads", "match", "epochs", "batch_size"),
    "flag": ("log", "symmetry_test"),
}


@pytest.mark.parametrize("depth", range(1, 1 + max(map(len, PATHS))))
@pytest.mark.parametrize("kind", MISTAKES)
def test_the_same_mistake_at_every_key_is_refused_at_each(
    tmp_path: Path, kind: str, depth: int
) -> None:
    changed, places = yaml.safe_load(DEFAULT), []
    for path in PATHS:
        if len(path) != depth or path[-1] in VALID.get(kind, ()):
            continue
        mapping = changed
        for step in path[:-1]:
            mapping = mapping[step]
        old = str(path[-1])
        key = f"{old[:-1]}_x" if kind == "typo" else old
        item = mapping[old] if kind == "typo" else copy.deepcopy(MISTAKES[kind])
        # The key keeps its position, so that the line of the slip is the line reported.
        kept = [(key, item) if name == old else (name, value) for name, value in mapping.items()]
        mapping.clear()
        mapping.update(kept)
        places.append(".".join([*map(str, path[:-1]), key]))
    problems = refused(tmp_path, yaml.safe_dump(changed, sort_keys=False))
    found = "\n".join(problems)
    assert places
    assert not [place for place in places if f": {place}" not in found], problems


def test_there_are_enough_keys_to_mistake() -> None:
    assert len(PATHS) >= 50


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


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, len(DEFAULT)), cut=st.integers(0, 40), piece=st.binary(max_size=8))
def test_damaged_file_is_read_or_refused_but_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, position: int, cut: int, piece: bytes
) -> None:
    raw = DEFAULT.encode()
    damaged = raw[:position] + piece + raw[position + cut :]
    try:
        read(tmp_path_factory.mktemp("damaged"), damaged)
    except UserError as error:
        assert all("\n" not in problem for problem in error.problems)


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


def test_line_of_the_slip_is_named(tmp_path: Path) -> None:
    text = DEFAULT.replace("group: [C1, C4, D4]", "group:\n    - C1\n    - C0\n    - D4")
    line = text[: text.index("C0")].count("\n") + 1
    assert refused(tmp_path, text)[0].startswith(f"params.yaml:{line}: sweep.group[1]: got 'C0'")


@pytest.mark.parametrize(
    "changes",
    [{"sweep__group": ["E4"]}, {"confirm__seeds": ["x"]}, {"prepare__datasets": [None]},
     {"sweep__search_space__dropout": {"choices": ["x"]}}, {"resources__workers": "x"}],
)  # fmt: skip
def test_one_mistake_is_one_sentence(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert len(refused(tmp_path, study(**changes))) == 1


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: no such file"):
        load_params(tmp_path / "nowhere.yaml")


def command(folder: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True,
        env={"PYTHONPATH": str(root), "PATH": ""}, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("stage", ["check", "prepare", "sweep", "confirm", "report"])
def test_command_refuses_fast_small_and_without_traceback(
    tmp_path: Path, root: Path, stage: str
) -> None:
    (tmp_path / "params.yaml").write_bytes(NOT_A_STUDY["bomb"])
    before = os.times()
    result = command(tmp_path, root, "-m", "pipeline", stage)
    after = os.times()
    seconds = after.children_user + after.children_system
    seconds -= before.children_user + before.children_system
    assert result.returncode == 2, result.stderr
    assert re.fullmatch(r"error: params\.yaml:1: .*\n", result.stderr)
    assert result.stdout == ""
    assert seconds < SECONDS


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("name", ["bomb", "deep", "huge", "long number"])
def test_refusing_takes_little_memory(tmp_path: Path, root: Path, name: str) -> None:
    (tmp_path / "params.yaml").write_bytes(NOT_A_STUDY[name])
    code = (
        "import pipeline.study.params, re\n"
        "try:\n    pipeline.study.params.load_params()\n"
        "except pipeline.common.errors.UserError:\n"
        "    print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    result = command(tmp_path, root, "-c", code)
    assert int(result.stdout) / 1024 < MEBIBYTES, result.stderr


def test_reading_parameters_imports_neither_torch_nor_ray(root: Path) -> None:
    code = (
        "import sys, pipeline.study.params; "
        "print({'torch', 'ray', 'optuna', 'pandas', 'sklearn'} & set(sys.modules))"
    )
    assert command(root, root, "-c", code).stdout == "set()\n"


def test_check_says_how_large_the_study_is(tmp_path: Path, root: Path) -> None:
    (tmp_path / "params.yaml").write_text(DEFAULT)
    result = command(tmp_path, root, "-m", "pipeline", "check")
    expected = "params.yaml is a valid study: 18 cells, 54 trials, 54 runs\n"
    assert (result.stdout, result.returncode) == (expected, 0)


def test_unknown_command_is_refused_with_the_nearest(root: Path) -> None:
    result = command(root, root, "-m", "pipeline", "swep")
    assert result.returncode == 2
    assert result.stderr.startswith("error: got 'swep'; accepts prepare, sweep, confirm, report")
    assert result.stderr.endswith("did you mean 'sweep'?\n")


def test_encodings_are_those_of_the_library() -> None:
    from gsa_core.attention.encodings import registry

    assert {name: one.kinds for name, one in registry.POSITIONAL.items()} == models.POSITIONAL
