"""Cost of the driver of a sweep, compared with other tools: `python benchmarks/sweep.py`.

Every way is given the same trivial objective and two slots, in a process of its own. A trial's cost
is the time from the first trial's start to the end, over the number of trials; start is from the
command to the first trial. `--trials 10000` asks the same of a long study, `--epochs 300` has this
sweep's trials report epochs (`--each-epoch` in a message each), `--real 40` sets a sweep of digits
against its ideal: the trials' own seconds over the slots, and the start.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SLOTS = 2
# How many trials a slow way is given when the others have a hundred: it takes seconds for each.
FEW = 8
CELLS = {"group": ["C1", "C2", "C4", "D1", "D4"], "positional": ["absolute", "relative"]}


def mark() -> None:
    """Note when the first trial began, wherever it runs."""
    with open(os.environ["FIRST_TRIAL"], "a") as file:
        file.write(f"{time.time()}\n")


def trivial(learning_rate: float) -> float:
    """Return the score of a trial that costs nothing."""
    mark()
    return 1 - 40 * abs(learning_rate - 0.004)


def params(trials: int, **sweep: Any) -> Any:
    """Return a study of ten cells and so many trials in all."""
    from pipeline.study.schema import Params

    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    space = {"learning_rate": {"low": 0.001, "high": 0.01, "log": True}}
    changed = {**CELLS, "depth": [1], "trials_per_cell": trials // 10, "search_space": space}
    values["sweep"] |= {**changed, **sweep}
    values["resources"] |= {"workers": SLOTS, "cpus_per_trial": 1}
    return Params.model_validate(values)


def work(task: Any, data: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Do a trivial trial of this project's sweep."""
    accuracy = trivial(task.payload["configuration"]["learning_rate"])
    row = {"status": "completed", "reason": None, "validation_accuracy": accuracy, "seconds": 0.0}
    for epoch in range(1, int(os.environ.get("EPOCHS", "0")) + 1):
        context.report({"epoch": epoch, "train_loss": 1.0, "validation_accuracy": accuracy,
                        "validation_loss": 1.0, "learning_rate": 0.1, "seconds": 0.0})  # fmt: skip
    return {"row": row, "epochs": context.epochs}


def digits(study: Any) -> None:
    """Prepare the digits in the current folder."""
    from pipeline.prepare.stage import prepare_all

    prepare_all(study.prepare, Path("data/prepare"))


def ours(trials: int) -> None:
    """Sweep on the engine that GSA_ENGINE chooses."""
    from pipeline.execution import epoch_batches as outbox
    from pipeline.execution.engine import make_engine
    from pipeline.sweep import stage as sweep

    if os.environ.get("EACH_EPOCH"):
        outbox.LEAST, outbox.MESSAGES = 0.0, float("inf")
    study = params(trials, epochs=max(1, int(os.environ.get("EPOCHS", "0"))))
    sweep.sweep(study, make_engine(study.resources, Path("ray")), work)


def optuna_alone(trials: int, storage: str | None = None) -> None:
    """Optuna in this process; with a storage, one of several that share it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage, study_name="plain", direction="maximize", load_if_exists=True
    )
    study.optimize(lambda trial: trivial(learning_rate(trial)), n_trials=trials)


def learning_rate(trial: Any) -> float:
    """Sample as the sweep does."""
    return float(trial.suggest_float("learning_rate", 0.001, 0.01, log=True))


def optuna_joblib(trials: int) -> None:
    """Optuna in two processes of joblib that share an SQLite file."""
    from joblib import Parallel, delayed

    storage = "sqlite:///optuna.db"
    optuna_alone(0, storage)
    Parallel(SLOTS)(delayed(optuna_alone)(trials // SLOTS, storage) for _ in range(SLOTS))


def tune_reusing(trials: int) -> None:
    """Ray Tune whose workers continue with the next trial."""
    tune_tutorial(trials, reuse=True)


def tune_tutorial(trials: int, reuse: bool = False) -> None:
    """Ray Tune as its tutorials write it: a new process a trial, Optuna on SQLite."""
    import optuna
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    ray.init(num_cpus=SLOTS, include_dashboard=False, logging_level="ERROR")
    storage = optuna.storages.RDBStorage("sqlite:///tune.db")
    searcher = OptunaSearch(metric="accuracy", mode="max", storage=storage, study_name="tune")
    space = {"learning_rate": tune.loguniform(0.001, 0.01)}
    tune.Tuner(
        lambda config: tune.report({"accuracy": trivial(config["learning_rate"])}),
        param_space=space,
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=trials, reuse_actors=reuse, max_concurrent_trials=SLOTS
        ),
        run_config=tune.RunConfig(storage_path=str(Path("results").resolve())),
    ).fit()


def real(trials: int) -> None:
    """Sweep digits in earnest: ten cells, two epochs a trial."""
    from pipeline.execution.engine import make_engine
    from pipeline.sweep import stage as sweep
    from pipeline.sweep.trial import run_trial

    study = params(trials, epochs=2)
    sweep.sweep(study, make_engine(study.resources, Path("ray")), marked(run_trial))


def marked(function: Any) -> Any:
    """Have a trial note its start."""

    def marking(task: Any, data: Mapping[str, Any], context: Any) -> Any:
        mark()
        return function(task, data, context)

    return marking


WAYS = {
    "this sweep, on Ray Tune": ours,
    "this sweep, in process": ours,
    "Optuna alone, in memory": optuna_alone,
    "Optuna and joblib, SQLite": optuna_joblib,
    "Ray Tune, a process a trial (reuse_actors=False)": tune_tutorial,
    "Ray Tune, reuse_actors=True": tune_reusing,
    "digits": real,
}


def measure(way: str, trials: int, epochs: int = 0, each: bool = False) -> dict[str, float]:
    """Run a way in a process of its own, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first"
        environment = {
            **os.environ,
            "FIRST_TRIAL": str(first),
            "EPOCHS": str(epochs),
            "EACH_EPOCH": "1" if each else "",
            "GSA_ENGINE": "in-process" if way.endswith("in process") else "",
            "GSA_QUIET": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "RAY_ADDRESS": "local",
        }
        if WAYS[way] in (ours, real):
            run([__file__, "--prepare"], folder, environment)
        begun = time.time()
        result = json.loads(
            run([__file__, "--way", way, "--trials", str(trials)], folder, environment)
        )
        started = [float(line) for line in first.read_text().splitlines()]
        assert len(started) == trials, f"{way}: {len(started)} of {trials} trials"
        begin = min(started)
        return {
            **result,
            "trials": trials,
            "start": begin - begun,
            "each": (result["end"] - begin) / trials,
            "wall": result["end"] - begun,
            "busy": busy(Path(folder)) if WAYS[way] is real else 0.0,
        }


def run(arguments: list[str], folder: str, environment: Mapping[str, str]) -> str:
    """Run this file and return its last line."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=dict(environment), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return (done.stdout.splitlines() or [""])[-1]


def busy(folder: Path) -> float:
    """Sum the seconds of all trials of the real sweep."""
    from pipeline.results import records, schemas

    table = records.read(folder / "data/sweep/digits/trials.parquet", schemas.TRIALS)
    return float(table["seconds"].sum())


def within(way: str, trials: int) -> None:
    """Run one tool here, and return what it took of this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    WAYS[way](trials)
    end, usage = time.time(), resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    print(json.dumps({"end": end, "cpu": cpu, "grown_kib": usage.ru_maxrss - before,
                      "peak_kib": usage.ru_maxrss}))  # fmt: skip


HEAD = """| way | trials | ms a trial | start, s | driver CPU, s | driver peak, MiB |
|---|---:|---:|---:|---:|---:|"""


def line(way: str, result: dict[str, float]) -> str:
    """Write a line of the table."""
    return (
        f"| {way} | {result['trials']:,.0f} | {1000 * result['each']:,.1f} | "
        f"{result['start']:.1f} | {result['cpu']:.1f} | {result['peak_kib'] / 1024:.0f} |"
    )


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100])
    parser.add_argument("--only", nargs="+", default=[way for way in WAYS if way != "digits"])
    parser.add_argument("--real", type=int, default=0)
    parser.add_argument("--epochs", type=int, nargs="+", default=[0])
    parser.add_argument("--each-epoch", action="store_true")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.prepare:
        digits(params(10))
        return
    if asked.way:
        within(asked.way, asked.trials[0])
        return
    print(HEAD)
    for trials in asked.trials:
        for way in asked.only:
            count = min(trials, FEW) if WAYS[way] is tune_tutorial else trials
            for epochs in asked.epochs if WAYS[way] is ours else [0]:
                result = measure(way, count, epochs, asked.each_epoch)
                name = f"{way}, {epochs} epochs a trial" if epochs else way
                print(line(name, result), flush=True)
    if asked.real:
        result = measure("digits", asked.real)
        ideal = result["busy"] / SLOTS + result["start"]
        print(
            f"\n{asked.real} trials of digits: {result['wall']:.1f} s; ideal {ideal:.1f} s "
            f"({result['busy']:.1f} s of trials / {SLOTS} + {result['start']:.1f} s to the first): "
            f"{result['wall'] / ideal:.2f}"
        )


if __name__ == "__main__":
    main()
