"""params.yaml: what is no study is refused at once, and every mistake is named where it stands."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from study_texts import DEFAULT, SECONDS, read, refused, study

from pipeline.common.errors import UserError
from pipeline.study.messages import KeyPath
from pipeline.study.params import load_params, parse_yaml

MEBIBYTES = 200


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


@pytest.mark.sampled(2)
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


@pytest.mark.sampled(2)
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


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a:\n  b: 1\n  background white\n  c: 2\n", 3, "could not find expected ':' after a key"),
        ("a:\n  b: 1\n  background white\n", 3, "could not find expected ':' after a key"),
        ("a:\n  background white\n  c: 2\n", 3, "or the line before it"),
        ("a:\n  b: 1\n   c: 2\n", 3, "correct the indent of this line"),
        ("a: [1, 2\nb: 3\n", 2, "it may not be closed on line 1"),
        ("a: {x: 1\nb: 3\n", 2, "it may not be closed on line 1"),
        ("a: 'x\nb: 3\n", 3, "it may not be closed on line 1"),
        ("a: [1, ]]\n", 1, "not valid YAML"),
    ],
)
def test_a_slip_of_yaml_is_named_where_it_was_made(text: str, line: int, said: str) -> None:
    with pytest.raises(UserError) as error:
        parse_yaml(text, "params.yaml")
    assert str(error.value).startswith(f"params.yaml:{line}: not valid YAML: ")
    assert said in str(error.value) and "\n" not in str(error.value)
