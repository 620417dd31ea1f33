"""The table of commands: help without imports, refusals, completion, a command in one file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from pipeline.common import commands as table
from pipeline.common.commands import STAGES, commands, parse
from pipeline.common.errors import UserError
from pipeline.tools.completion import script

NEEDED = {  # arguments with which each command that needs any is parsed
    "trial": ["--cell", "x", "--number", "1"],
    "log": ["--cell", "x", "--seed", "1"],
    "pin": ["v1", "-m", "text"],
    "compare": ["a", "b"],
    "provenance": ["tradeoff"],
    "completion": ["bash"],
    "predict": ["weights.safetensors", "images"],
    "new": ["pets", "images"],
    "export": ["--to", "csv"],
}


@pytest.mark.parametrize("name", commands())
def test_every_command_is_a_documented_file(name: str) -> None:
    command = commands()[name]
    assert command.summary.endswith(".") and len(command.summary) < 100
    assert parse([name, *NEEDED.get(name, [])]).command == name


def test_help_imports_none_of_the_commands(root: Path) -> None:
    code = (
        "import sys\nfrom pipeline.common.commands import commands, parse\n"
        "from pipeline.tools.completion import script\nscript('zsh')\n"
        "for name in commands():\n"
        "    try: parse([name, '--help'])\n    except SystemExit: pass\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("usage: ") == len(commands())
    assert not {"torch", "ray", "optuna", "pandas", "numpy"} & set(done.stderr.split())


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_help_lists_every_command(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as ending:
        parse(arguments)
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:2] == "  "]
    assert not ending.value.code
    assert [name for name in listed if name in commands()] == list(commands())


def test_version_is_printed(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ending:
        parse(["--version"])
    assert not ending.value.code and capsys.readouterr().out.startswith("gsa-core")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["statsu"], "got 'statsu'; accepts prepare, .*; did you mean 'status'"),
        (["sweep", "--epochs", "3"], "got '--epochs 3' after 'sweep'; sweep takes no arguments; "),
        (["status", "now"], "got 'now' after 'status'; status takes no arguments$"),
        (["status", "--watch"], "got '--watch' after 'status'; status takes no arguments$"),
        (["sweep", "x"], "sweep takes no arguments; params.yaml defines the study"),
        (["new", "pets", "../My", "pets"], r"got 'pets' after 'new' \(a path with spaces needs"),
        (["prepare", "--lok"], "got '--lok' after 'prepare'; `python -m pipeline prepare --help`"),
        (["log", "--cell", "x"], "one of the arguments --number --seed is required; `python"),
        (["log", "--cell", "x", "--number", "1", "--seed", "2"], "not allowed with argument"),
        (["trial", "--cell", "x", "--number", "one"], "--number: invalid 'whole number' value"),
        (["compare", "a"], "required: B; `python -m pipeline compare --help` prints"),
        (["completion", "fish"], "invalid choice: 'fish'"),
        (["--unknown"], "required: COMMAND"),
    ],
)
def test_what_cannot_be_parsed_is_one_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        parse(arguments)
    assert len(caught.value.problems) == 1 and "\n" not in str(caught.value)


def test_a_new_command_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for stage in STAGES:
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "__main__.py").write_text('"""A stage."""')
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "greet.py").write_text(
        '"""Greet somebody."""\nARGUMENTS = {"--name": {"required": True}}\n'
        "def main(given):\n    print('hello', given.name)\n"
    )
    monkeypatch.setattr(table, "PACKAGE", tmp_path)
    monkeypatch.setattr("pipeline.tools.__path__", [str(tmp_path / "tools")])
    monkeypatch.setattr(sys, "argv", ["pipeline", "greet", "--name", "Ada"])
    monkeypatch.delitem(sys.modules, "pipeline.tools.greet", raising=False)
    main()
    del sys.modules["pipeline.tools.greet"]
    assert capsys.readouterr().out == "hello Ada\n"
    assert "greet" in script("bash")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["python", "-m", "pipeline", "st"], "status"),
        (["python", "-m", "pipeline", "co"], "confirm compare completion"),
        (["python", "-m", "pipeline", "log", "--s"], "--seed"),
        (["python", "-m", "pipeline", "prepare", "--l"], "--look"),
        (["python", "-m", "pipeline", "completion", "z"], "zsh"),
        (["python", "-m", "pipeline", "use", "rotated"], "rotated-mnist-quick rotated-mnist"),
        (["python", "-m", "pipeline", "nothing", "x"], ""),
        (["python", "-m", "pytest", "st"], ""),
        (["python", "sc"], ""),
    ],
)
def test_bash_completes(typed: list[str], offered: str, root: Path) -> None:
    code = (
        f'{script("bash")}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gsa_pipeline; '
        'echo "${COMPREPLY[*]}"'
    )
    done = subprocess.run(
        ["bash", "-c", code, "bash", *typed], cwd=root, capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.split()) == sorted(offered.split()) and not done.stderr


def test_zsh_gets_the_script_of_bash_and_what_runs_it() -> None:
    assert script("zsh").endswith(script("bash"))
    assert "bashcompinit" in script("zsh").removesuffix(script("bash"))
