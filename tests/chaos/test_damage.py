"""Files cut and flipped at full size, and ten writers of one journal."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from driver_processes import DriverProcesses

from pipeline.common.errors import UserError
from pipeline.confirm.result_store import RunStore
from pipeline.execution.checkpoints import Checkpoints
from pipeline.results import records, schemas
from pipeline.sweep.journal import CheckedJournal, open_journal

pytestmark = [pytest.mark.deep]

Witness = Callable[[int, str, str], None]
FLIPS = 1000


def flips(whole: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield copies with one bit of them turned, anywhere."""
    draw = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        yield bytes(damaged)


def test_a_journal_is_never_read_wrongly(tmp_path: Path, witness: Witness) -> None:
    path = tmp_path / "journal.log"
    study = optuna.create_study(storage=open_journal(path), study_name="cell")
    for number in range(8):
        study.add_trial(optuna.trial.create_trial(value=number / 7, user_attrs={"row": number}))
    whole = path.read_bytes()

    def values() -> list[float | None]:
        storage = open_journal(path)
        names = optuna.get_all_study_names(storage)
        return [
            trial.value
            for name in names
            for trial in optuna.load_study(study_name=name, storage=storage).trials
        ]

    true, kept = values(), 0
    last = whole.rindex(b"\n", 0, -1) + 1
    cuts = [whole[:size] for size in range(last, len(whole))]
    for damaged in [*cuts, *flips(whole, FLIPS)]:
        path.write_bytes(damaged)
        found = values()
        assert found == true[: len(found)] and len(found) < len(true)
        kept += len(found)
        for aside in tmp_path.glob("*.damaged-*"):
            assert damaged.endswith(aside.read_bytes()), "what was cut off is not kept"
            aside.unlink()
    witness(
        8,
        f"journal: cut at each of the {len(cuts)} bytes of its last record; {FLIPS} flipped bits",
        f"an older state every time ({kept / (len(cuts) + FLIPS):.1f} of 8 trials on average), "
        "never another value; the rest set aside",
    )


def test_a_table_is_never_read_wrongly(tmp_path: Path, witness: Witness) -> None:
    path = tmp_path / "epochs.parquet"
    keys = {"study": "s", "dataset": "digits", "cell": "c", "model": "gsa", "group": "C1"}
    keys |= {"positional": "none", "depth": 1, "tokens": "stem", "stage": "sweep", "seed": 0}
    rows: list[dict[str, Any]] = [
        {**keys, "trial": number, "epoch": 1, "train_loss": 1 / (number + 1), "seconds": 1.0}
        for number in range(20)
    ]
    records.write(path, rows, schemas.EPOCHS, {})
    whole, true = path.read_bytes(), records.read(path, schemas.EPOCHS)
    refused = 0
    cuts = [whole[:size] for size in range(0, len(whole))]
    for damaged in [*cuts, *flips(whole, FLIPS)]:
        path.write_bytes(damaged)
        try:
            found = records.read(path, schemas.EPOCHS)
        except UserError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert found.equals(true)
    assert refused >= len(cuts)
    witness(
        8,
        f"a table of Parquet: cut at each of its {len(cuts)} bytes; {FLIPS} flipped bits",
        f"refused in one sentence {refused} times, else read with equal values",
    )


def test_a_kept_run_is_never_read_wrongly(tmp_path: Path, witness: Witness) -> None:
    store = RunStore(tmp_path)
    value = {"row": {"status": "completed", "x": 0.1}, "epochs": [], "weights": bytes(range(256))}
    store.put("run", value)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    true, asked_again = store.get("run"), 0
    for path, whole in files.items():
        cuts = [whole[:size] for size in range(len(whole))]
        for damaged in [*cuts, *flips(whole, FLIPS // 2)]:
            for other, content in files.items():
                other.write_bytes(damaged if other == path else content)
            found = store.get("run")
            assert found is None or found == true
            asked_again += found is None
    witness(
        8,
        f"a run of confirm, record and weights: cut at every byte; {FLIPS} flipped bits",
        f"set aside and to be done again {asked_again} times, never another value",
    )


def test_ten_writers(drivers: DriverProcesses, tmp_path: Path, witness: Witness) -> None:
    path = tmp_path / "journal.log"
    writers = [drivers.start(write, path, number) for number in range(10)]
    for writer in writers:
        writer.join(300)
        assert writer.exitcode == 0
    found = [(one["writer"], one["n"]) for one in CheckedJournal(path).read_logs(0)]
    assert sorted(found) == [(writer, n) for writer in range(10) for n in range(200)]
    witness(10, "10 processes append 200 records each at once", "2,000 readable and unique")


def write(path: Path, writer: int) -> None:
    """Append two hundred records."""
    journal = CheckedJournal(path)
    for n in range(200):
        journal.append_logs([{"writer": writer, "n": n}])


def test_a_checkpoint_is_whole_or_not_there(tmp_path: Path) -> None:
    place = Checkpoints(str(tmp_path)).of("cell 1")
    assert place.load() is None
    place.save(b"one")
    place.save(b"two")
    assert place.load() == b"two"
    assert len(list(tmp_path.iterdir())) == 1
