"""Repeat a trial of the search without Ray and compare its metrics with those recorded."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from pipeline.common.documents import configuration
from pipeline.common.errors import UserError
from pipeline.common.failures import brief, harmless
from pipeline.dataset import load_dataset
from pipeline.execution.stage_inputs import read_card, read_trials
from pipeline.execution.tasks import Context, Task, WorkFunction, perform
from pipeline.results import records, schemas
from pipeline.results.provenance import ENVIRONMENT, provenance
from pipeline.study.hyperparameters import DEFAULTS
from pipeline.study.params import load_params
from pipeline.sweep import stage as sweep
from pipeline.sweep.trial import run_trial
from pipeline.tools.support.find_row import dataset_named, row_of
from pipeline.training.devices import use_threads

__all__ = ["Comparison", "compare", "find", "main"]

ARGUMENTS = {
    "--cell": {"required": True, "metavar": "NAME", "help": "as in the column `cell`"},
    "--number": {
        "type": "whole number",
        "required": True,
        "metavar": "N",
        "help": "as in the column `trial`",
    },
    "--dataset": {"metavar": "NAME", "help": "needed where the study has several"},
}
# What the same configuration on the same data must give again; times and memory differ.
ROW = (
    "status",
    "validation_accuracy",
    "validation_loss",
    "validation_balanced_accuracy",
    "validation_macro_f1",
    "validation_auroc",
    "validation_accuracy_turned",
    "validation_invariance_error",
    "best_epoch",
    "epochs",
    "params",
    "flops",
    "training_flops",
)
EPOCH = (
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "validation_balanced_accuracy",
    "validation_macro_f1",
    "validation_auroc",
    "validation_accuracy_turned",
    "learning_rate",
    "training_flops",
)


@dataclass(frozen=True)
class Comparison:
    """One value as it was recorded and as it came now."""

    name: str
    recorded: Any
    now: Any

    @property
    def known(self) -> bool:
        """Whether one of them is there."""
        return not (pd.isna(self.recorded) and pd.isna(self.now))

    @property
    def equal(self) -> bool:
        """Whether both are the same, or both are missing."""
        if pd.isna(self.recorded) or pd.isna(self.now):
            return bool(pd.isna(self.recorded) and pd.isna(self.now))
        return bool(self.recorded == self.now)


def main(given: Namespace, function: WorkFunction = run_trial) -> None:
    """Repeat a trial in this process and say whether its metrics are the recorded ones."""
    params = load_params()
    dataset = dataset_named(given.dataset, params.prepare.datasets)
    card = read_card(params.prepare, dataset)
    read_trials(params, dataset, card, any_search=True)
    row, epochs = find(dataset, given.cell, given.number)
    config = configuration(row["configuration"])
    if not config.keys() >= {"epochs", "seed", *DEFAULTS}:
        raise UserError(
            f"trial {given.number} made no model, so there is nothing to do again: "
            f"{brief(row['reason'])}"
        )
    data = {dataset: load_dataset(sweep.PREPARED / dataset, sweep.SPLITS, verify=True)}
    use_threads(int(params.resources.cpus_per_trial))
    # A table has no device of a trial that failed.
    device = "cuda" if isinstance(row["device"], str) and row["device"] != "cpu" else "cpu"
    payload = {"dataset": dataset, "configuration": config, "measures": _measures(row)}
    task = Task(f"{given.cell} {given.number}", payload)
    print(f"trial {given.number} of {given.cell} on {dataset}, in this process, on {device}")
    print("  " + ", ".join(f"{name} {value}" for name, value in config.items()), flush=True)
    value = perform(function, task, data, Context(device, send=_show)).value
    if value["row"].get("reason"):
        print(harmless(value["row"]["reason"]))
    differ = report(compare(row, epochs, value))
    if differ:
        path = sweep.SWEPT / dataset / "trials.parquet"
        now = provenance(params, json.loads(card))
        print(explain(records.read_provenance(path), now))
    sys.exit(1 if differ else 0)


def find(dataset: str, cell: str, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Find a trial's row and its epochs.

    Raises
    ------
    UserError
        There is no such row, or no table yet.
    """
    folder = sweep.SWEPT / dataset
    table = records.read(folder / "trials.parquet", schemas.TRIALS)
    chosen = row_of(table, cell, "trial", number)
    epochs = records.read(folder / "epochs.parquet", schemas.EPOCHS)
    epochs = epochs[(epochs["cell"] == cell) & (epochs["trial"] == number)].sort_values("epoch")
    return _plain(chosen, schemas.TRIALS)[0], _plain(epochs, schemas.EPOCHS)


def _measures(row: Mapping[str, Any]) -> list[str]:
    """List what a trial measured besides its accuracy, even if the study no longer asks for it."""
    return [] if pd.isna(row["validation_invariance_error"]) else ["invariance_error"]


def _plain(frame: pd.DataFrame, schema: pa.Schema) -> list[dict[str, Any]]:
    """Return rows with None for what is unknown, and whole numbers whole in its column."""
    whole = {field.name: "Int64" for field in schema if pa.types.is_integer(field.type)}
    known = frame.astype(whole).astype(object)
    known = known.where(known.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in known.to_dict("records")]


def compare(
    row: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]], value: Mapping[str, Any]
) -> list[Comparison]:
    """Pair recorded metrics with those of now, of every recorded epoch too.

    Of a trial that was stopped at its time limit only the recorded epochs are compared: how many
    there are depends on the machine.
    """
    names: tuple[str, ...] = () if row["status"] == "timeout" else ROW
    if row["status"] == value["row"]["status"] == "failed":
        names = ROW[:1]  # nothing else was measured; the table repeats the epochs that were given
    pairs = [Comparison(name, row[name], value["row"].get(name)) for name in names]
    now = {epoch["epoch"]: epoch for epoch in value["epochs"]}
    for epoch in epochs:
        again = now.get(epoch["epoch"], {})
        pairs += [
            Comparison(f"epoch {epoch['epoch']}: {name}", epoch[name], again.get(name))
            for name in EPOCH
        ]
    return [pair for pair in pairs if pair.known]  # what neither has was not measured


def report(pairs: Sequence[Comparison]) -> int:
    """Print the comparison; return how many values differ."""
    differ = [pair for pair in pairs if not pair.equal]
    shown = [pair for pair in pairs if not pair.name.startswith("epoch ")]
    for pair in [*shown, *(pair for pair in differ if pair not in shown)]:
        result = "equal" if pair.equal else "DIFFERS"
        print(f"  {pair.name:20} recorded {_said(pair.recorded)}, now {_said(pair.now)}: {result}")
    print(f"{len(pairs) - len(differ)} of {len(pairs)} metrics equal, those of epochs included")
    return len(differ)


def _said(value: Any) -> str:
    return "nothing" if pd.isna(value) else str(value)


def _show(epoch: dict[str, Any]) -> None:
    accuracy = epoch.get("validation_accuracy")
    score = "" if accuracy is None else f", validation accuracy {accuracy:.4f}"
    print(f"  epoch {epoch['epoch']}: loss {epoch['train_loss']:.4f}{score}", flush=True)


def explain(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say what is different from when the row was made, which is why it may not repeat."""
    differ = [
        f"{name} {recorded.get(name)} then, {now[name]} now"
        for name in (*ENVIRONMENT, "params_sha256", "data_sha256")
        if recorded.get(name) != now[name]
    ]
    dirty = " with uncommitted changes" if recorded.get("git_dirty") else ""
    return (
        f"recorded at commit {recorded.get('git_commit') or 'unknown'}{dirty}, now at "
        f"{now['git_commit'] or 'unknown'}{' with uncommitted changes' if now['git_dirty'] else ''}"
        f"; {', '.join(differ) or 'packages, machine, parameters and data are the same'}"
        "; equal bits are promised for equal code, data, packages, device and threads"
    )
