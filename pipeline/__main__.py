"""The command line: `python -m pipeline COMMAND`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.common.documents import mapping, read_json
from pipeline.common.errors import UserError
from pipeline.common.errors import main as run
from pipeline.common.reasons import harmless

STAGES = {
    "prepare": "raw sources to fixed, disjoint splits: data/prepare/ (--look: show own data first)",
    "sweep": "search the best configuration of each cell on train and validation: data/sweep/",
    "confirm": "train the best with several seeds, open test once a run: data/confirm/",
    "report": "tables, figures and the page: reports/",
}
COMMANDS = {
    "check": "read params.yaml and say how large the study is; runs nothing",
    "use": "make a study of studies/ the study, checked against this machine; lists them alone",
    "summary": "say where the report is and what it found",
}
# Commands with a module of their own: the module, whose `main` takes the arguments, what these
# are, and what the command does.
WITH_ARGUMENTS = {
    "plan": ("tools.plan", "", "trials, hours and memory a cell, from a few measured steps"),
    "status": ("tools.status", "", "how far the study is, from any terminal, running or not"),
    "trial": (
        "tools.trial",
        "--cell NAME --number N [--dataset NAME]",
        "do a trial again, without Ray",
    ),
    "log": (
        "tools.log",
        "--cell NAME (--number N | --seed N) [--dataset NAME]",
        "what was said in a trial or run, and why it failed",
    ),
    "provenance": (
        "tools.provenance", "FIGURE | CELL-seedN | CELL-trialN", "code, data, parameters behind it",
    ),
    "pin": ("tools.pin", 'NAME -m "..."', "keep this state of the study under a name"),
    "compare": ("tools.compare", "A B [C...]", "what changed, and whether it matters"),
}  # fmt: skip
HELP = ("-h", "--help")
REPORT, METRICS = Path("reports/index.html"), Path("reports/metrics.json")


def usage() -> str:
    """The help text."""
    lines = ["usage: python -m pipeline COMMAND", "", "stages, which `dvc repro` runs in order:"]
    lines += [f"  {name:<11}{what}" for name, what in STAGES.items()]
    lines += ["", "and:"]
    lines += [f"  {name:<11}{what}" for name, what in COMMANDS.items()]
    for name, (_, takes, what) in WITH_ARGUMENTS.items():
        lines.append(f"  {name:<11}" + (f"{takes}: {what}" if takes else what))
    return "\n".join(lines)


def usage_of(name: str) -> str:
    """The help text of a command."""
    takes = {"use": "[STUDY]"}.get(name, WITH_ARGUMENTS.get(name, ("", "", ""))[1])
    what = {**STAGES, **COMMANDS, **{key: value[2] for key, value in WITH_ARGUMENTS.items()}}[name]
    return f"usage: python -m pipeline {name} {takes}".rstrip() + f"\n\n{what}"


def check() -> None:
    """Read params.yaml and say how large the study is."""
    from pipeline.prepare.sources.location import check_places
    from pipeline.study.cells import combinations
    from pipeline.study.params import load_params
    from pipeline.study.rules import count_cells

    params = load_params()
    check_places(params.prepare)
    cells = count_cells(params) * len(params.prepare.datasets)
    trials, runs = cells * params.sweep.trials_per_cell, cells * len(params.confirm.seeds)
    print(f"params.yaml is a valid study: {cells} cells, {trials} trials, {runs} runs")
    combined = len(combinations(params)) * len(params.prepare.datasets)
    if combined > cells:
        print(f"{combined} combinations of the axes are {cells} networks, each a cell once")


def summary() -> None:
    """Say where the report is and what it found."""
    again = "run `make study` first"
    try:
        found = mapping(read_json(METRICS, again), str(METRICS), again)["summary"]
    except (UserError, KeyError):
        raise UserError(f"{METRICS}: no result yet; {again}") from None
    print(f"Report: {REPORT}\nFound:  {harmless(str(found))}")


def command(name: str) -> Callable[[], None]:
    """Find a command; parameters are read before a stage is imported, since torch takes seconds."""
    if name in STAGES:
        from pipeline.study.params import load_params

        load_params()
        main: Callable[[], None] = importlib.import_module(f"pipeline.{name}.stage").main
        return main
    if name in COMMANDS:
        return {"check": check, "summary": summary}[name]
    from pipeline.study.values import nearest

    known = [*STAGES, *COMMANDS, *WITH_ARGUMENTS]
    meant = nearest(name, known)
    guess = f"; did you mean {meant!r}?" if meant else ""
    raise UserError(f"got {name!r}; accepts {', '.join(known)}{guess}")


def main() -> None:
    """Run the command that the arguments name."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in (*HELP, "help"):
        print(usage())
        return
    if arguments[0] in (*STAGES, *COMMANDS, *WITH_ARGUMENTS) and set(HELP) & set(arguments[1:]):
        print(usage_of(arguments[0]))
        return
    if arguments[0] == "use" and len(arguments) <= 2:
        from pipeline.tools.use import use

        use(arguments[1] if len(arguments) == 2 else None)
        return
    if arguments == ["prepare", "--look"]:
        importlib.import_module("pipeline.prepare.look").main()
        return
    if arguments[0] in WITH_ARGUMENTS:
        module = importlib.import_module(f"pipeline.{WITH_ARGUMENTS[arguments[0]][0]}")
        module.main(arguments[1:])
        return
    if len(arguments) > 1:
        extra = " ".join(arguments[1:])
        raise UserError(f"got {extra!r} after {arguments[0]!r}; a study is stated in params.yaml")
    sys.argv = [sys.argv[0]]
    command(arguments[0])()


if __name__ == "__main__":
    run(main)
