"""The journal gives back a true older state whatever happened to its file, or all of it."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from pipeline.common.errors import UserError
from pipeline.common.files import decode_record, encode_record
from pipeline.sweep.journal import CheckedJournal, ReadOnlyJournal, is_foreign, open_journal

TRIALS = 6
NOTE_OF_A_TRIAL = b'{"op_code":9,"worker_id":"w","trial_id":1,"system_attr":{"note":1}}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of a study of six finished trials."""
    path = tmp_path / "journal.log"
    study = optuna.create_study(storage=open_journal(path), study_name="cell")
    for number in range(TRIALS):
        trial = optuna.trial.create_trial(value=number / 7, user_attrs={"row": {"x": number}})
        study.add_trial(trial)
    return path


def values(path: Path) -> list[float | None]:
    """Values of the journal's trials."""
    storage = open_journal(path)
    names = optuna.get_all_study_names(storage)
    trials = [optuna.load_study(study_name=name, storage=storage).trials for name in names]
    return [trial.value for trial in itertools.chain(*trials)]


def test_optuna_reads_it_too(path: Path) -> None:
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    assert [t.value for t in optuna.load_study(study_name="cell", storage=storage).trials] == [
        number / 7 for number in range(TRIALS)
    ]


def test_a_cut_at_any_byte_leaves_whole_records(path: Path) -> None:
    whole, true = path.read_bytes(), values(path)
    last = whole.rindex(b"\n", 0, -1) + 1
    for size in range(last, len(whole)):
        path.write_bytes(whole[:size])
        assert values(path) == true[:-1]
    path.write_bytes(whole[: last + 5])
    study = optuna.load_study(study_name="cell", storage=open_journal(path))
    study.add_trial(optuna.trial.create_trial(value=0.5))
    assert values(path) == [*true[:-1], 0.5], "a record after a torn one was lost"


def test_a_flipped_bit_never_gives_a_wrong_value(path: Path) -> None:
    whole, true = path.read_bytes(), values(path)
    draw = random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(bytes(damaged))
        found = values(path)
        assert found == true[: len(found)]
        assert len(found) < TRIALS


def test_what_is_cut_off_is_kept(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    values(path)
    aside = path.with_name("journal.log.damaged-1")
    assert path.read_bytes() + aside.read_bytes() == whole[:-3]
    assert aside.name in capsys.readouterr().out


def test_a_full_disk_leaves_the_journal_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write = path.read_bytes(), os.write
    storage = open_journal(path)
    monkeypatch.setattr("os.write", lambda file, content: write(file, content[:7]))
    with pytest.raises(UserError, match=r"journal\.log: could not append \d+ bytes"):
        storage.set_study_user_attr(0, "note", "too much")
    assert path.read_bytes() == before


def test_records_of_many_writers_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    code = (
        "import sys; from pathlib import Path; from pipeline.sweep.journal import CheckedJournal\n"
        "journal = CheckedJournal(Path(sys.argv[1]))\n"
        "for n in range(100): journal.append_logs([{'writer': sys.argv[2], 'n': n}])\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(writer)])
        for writer in range(3)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    records = [(r["writer"], r["n"]) for r in CheckedJournal(path).read_logs(0)]
    assert sorted(records) == [(str(w), n) for w in range(3) for n in range(100)]


@pytest.mark.parametrize("value", [1.1, float("nan"), "käse\u2028\n", None, [1, {"a": "}"}]])
def test_a_record_comes_back_as_it_was(value: object) -> None:
    line = encode_record({"key": value})
    assert line.count(b"\n") == 1
    assert repr(decode_record(line)) == repr({"key": value})


def appended(path: Path, kind: str) -> None:
    """Write into a journal what a dashboard does, by Optuna's own backend without checksums."""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    [name] = optuna.get_all_study_names(storage)
    number = storage.get_study_id_from_name(name)
    if kind == "note":
        storage.set_study_system_attr(number, "dashboard:note_str:0", "looks good")
    elif kind == "note of a trial":  # Optuna refuses it, a dashboard does not
        with path.open("ab") as file:
            file.write(NOTE_OF_A_TRIAL)
    elif kind == "tag":
        storage.set_study_user_attr(number, "tag", "x")
    else:
        storage.delete_study(number)


@pytest.mark.parametrize("kind", ["note", "note of a trial", "tag", "removal"])
def test_what_a_dashboard_writes_while_a_sweep_runs_loses_nothing(kind: str, path: Path) -> None:
    true, running = values(path), open_journal(path)
    lines = len(path.read_bytes().splitlines())
    appended(path, kind)
    assert len(path.read_bytes().splitlines()) == lines + 1
    study = optuna.load_study(study_name="cell", storage=running)
    study.add_trial(optuna.trial.create_trial(value=0.5))
    assert values(path) == [*true, 0.5]
    assert not list(path.parent.glob("*.damaged-*"))
    assert len(ReadOnlyJournal(path).records) == len(path.read_bytes().splitlines()) - 1


@pytest.mark.parametrize(
    "line",
    [
        b'{"op_code":6,"worker_id":"w","trial_id":1,"state":1,"values":[9.0]}\n',
        NOTE_OF_A_TRIAL.replace(b"}}", b'},"crb32":123}'),
        NOTE_OF_A_TRIAL[:-1],
        b'["op_code"]\n',
        b"{}\n",
    ],
)
def test_no_other_line_is_passed_over(line: bytes) -> None:
    assert not is_foreign(line) and is_foreign(NOTE_OF_A_TRIAL)
