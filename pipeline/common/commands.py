"""The commands of `python -m pipeline`, read from their files without importing them.

A command is a file: ``pipeline/tools/NAME.py``, or ``pipeline/STAGE/__main__.py`` of a stage. The
first line of its docstring is its help, ``ARGUMENTS`` (a literal) its arguments as `argparse` takes
them, and ``main`` does the work. Help and completion need no import, since torch takes seconds.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from pipeline.common import errors
from pipeline.common.spelling import did_you_mean

__all__ = ["PROGRAM", "STAGES", "Command", "commands", "parse", "run_as"]

PACKAGE = Path(__file__).parents[1]
PROGRAM = "python -m pipeline"
STAGES = ("prepare", "sweep", "confirm", "report")
# A key of ARGUMENTS whose value holds arguments of which exactly one has to be given.
ONE_OF = "one of"


@dataclass(frozen=True)
class Command:
    """A sub-command: its name, its module, its docstring and its arguments."""

    name: str
    module: str
    help: str
    arguments: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return self.help.partition("\n")[0]

    @property
    def flat(self) -> dict[str, Any]:
        """All its arguments, those of which one is given included."""
        return {**self.arguments, **self.arguments.get(ONE_OF, {})}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, like those of the rest of the project."""

    def print_help(self, file: Any = None) -> None:
        """Print the help; unlike argparse's own, a reader that has gone is noticed."""
        print(self.format_help(), end="", file=file)

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise errors.UserError(f"{message}; `{self.prog} --help` prints what it accepts")


def commands() -> dict[str, Command]:
    """Return every command by name, the stages first, in the order in which they run."""
    files = {stage: PACKAGE / stage / "__main__.py" for stage in STAGES}
    files |= {path.stem: path for path in sorted((PACKAGE / "tools").glob("[!_]*.py"))}
    return {name: _read(name, path) for name, path in files.items()}


@cache
def _read(name: str, path: Path) -> Command:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    arguments: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ARGUMENTS":
            arguments = ast.literal_eval(node.value)
    module = f"pipeline.{name}.stage" if name in STAGES else f"pipeline.tools.{name}"
    return Command(name, module, ast.get_docstring(tree) or "", arguments)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments of the command line; `command` of the result is the command's name.

    Raises
    ------
    UserError
        There is no such command, or it does not take these arguments.
    """
    known = commands()
    if not arguments or arguments[0] == "help":
        arguments = ["--help"]
    name = arguments[0]
    if not name.startswith("-") and name not in known:
        guess = did_you_mean(name, known)
        raise errors.UserError(f"got {name!r}; accepts {', '.join(known)}{guess}")
    parser, parsers = _parsers(known)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        got = f"got {' '.join(unknown)!r} after {given.command!r}"
        if not known[given.command].arguments:
            study = "; params.yaml defines the study" if given.command in STAGES else ""
            raise errors.UserError(f"{got}; {given.command} takes no arguments{study}")
        if not any(word.startswith("-") for word in unknown):
            got += " (a path with spaces needs quotes)"
        parsers[given.command].error(got)
    return given


def _parsers(known: Mapping[str, Command]) -> tuple[Parser, dict[str, Parser]]:
    """Return the parser of the command line, and that of each command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        PROGRAM, f"{PROGRAM} COMMAND", formatter_class=raw, epilog=_listing(known),
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=_version())
    table = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, help=argparse.SUPPRESS
    )
    parsers: dict[str, Parser] = {}
    for name, command in known.items():
        parsers[name] = table.add_parser(
            name, prog=f"{PROGRAM} {name}", formatter_class=raw, description=command.help,
            allow_abbrev=False,
        )  # fmt: skip
        _add(parsers[name], command.arguments)
    return parser, parsers


def _add(parser: Any, arguments: Mapping[str, Any]) -> None:
    parser.register("type", "whole number", int)  # a literal names its type
    for name, options in arguments.items():
        if name == ONE_OF:
            _add(parser.add_mutually_exclusive_group(required=True), options)
        else:
            parser.add_argument(name, **options)


def _listing(known: Mapping[str, Command]) -> str:
    width = max(map(len, known)) + 2
    lines = {name: f"  {name:<{width}}{command.summary}" for name, command in known.items()}
    stages = [lines.pop(stage) for stage in STAGES]
    heads = ["stages, which `dvc repro` runs in order:", *stages, "", "tools:", *lines.values()]
    return "\n".join([*heads, "", f"`{PROGRAM} COMMAND --help` says what a command takes"])


def _version() -> str:
    try:
        return f"gsa-core {metadata.version('gsa-core')}"
    except metadata.PackageNotFoundError:
        return "gsa-core, not installed as a package"


def run_as(*command: str) -> NoReturn:
    """Run `python -m pipeline COMMAND` in a process that was started with the command's module."""
    sys.argv[1:1] = command
    command_line = importlib.import_module("pipeline.__main__")
    errors.main(command_line.main, command_line.after_failure)
    sys.exit()
