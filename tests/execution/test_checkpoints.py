"""A trial that was cut off goes on from its last epoch, to the last bit as if nothing had been."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import fake_study
import pandas as pd
import pytest
import torch
from fake_study import small_data

from pipeline.common.errors import UserError
from pipeline.execution import resumable_training as resumable
from pipeline.execution.checkpoints import Checkpoint, checkpoints_of
from pipeline.execution.engine import InProcess
from pipeline.execution.resumable_training import train_resumably
from pipeline.execution.tasks import Context
from pipeline.results import records, schemas
from pipeline.search.space import configuration
from pipeline.study.cells import Cell
from pipeline.sweep import stage as sweep
from pipeline.sweep.trial import run_trial
from pipeline.training.loop import Outcome, train
from pipeline.training.training_state import TrainingState

EPOCHS = 3


@pytest.fixture(autouse=True)
def each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of no time leave a state each, unless a test says otherwise."""
    monkeypatch.setattr(resumable, "INTERVAL", 0.0)
    monkeypatch.setattr(resumable, "SHARE", 1e9)


class Crash(BaseException):
    """The end of the process."""


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """A configuration that draws random numbers wherever training can."""
    params = fake_study.study(epochs=EPOCHS, batch_size=5, augment="turn")
    sampled = {"learning_rate": 0.01, "channels": 8, "dropout": 0.2}
    return configuration(Cell("gsa", "C1", "relative", 1, "stem"), sampled, params, small_data())


@pytest.fixture(scope="module")
def whole(config: dict[str, Any]) -> Outcome:
    """What comes of it without a break."""
    return train(config, small_data())


class Notes(list[str]):
    """A context's notes and epochs; crashes after an epoch if asked."""

    def __init__(self, crash_after: int = 0) -> None:
        super().__init__()
        self.crash_after, self.done = crash_after, 0

    def context(self) -> Context:
        return Context(send=self.send, send_note=self.append)

    def send(self, row: dict[str, Any]) -> None:
        self.done += 1
        if row["epoch"] == self.crash_after:
            raise Crash


def assert_equal(one: Outcome, other: Outcome) -> None:
    """Equal weights and equal metrics; times differ."""
    timed = {"seconds", "training_seconds", "training_images_per_second", "peak_memory_bytes"}
    rows = [{k: v for k, v in o.row.items() if k not in timed} for o in (one, other)]
    assert rows[0] == rows[1]
    epochs = [
        [{**row, "seconds": 0, "training_seconds": 0} for row in o.epochs] for o in (one, other)
    ]
    assert epochs[0] == epochs[1]
    weights = [o.model.state_dict() for o in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("after", range(1, EPOCHS + 1))
def test_cut_off_after_any_epoch_it_goes_on_to_the_last_bit(
    after: int, config: dict[str, Any], whole: Outcome, tmp_path: Path
) -> None:
    place = f"{tmp_path}/a/trial.state"
    with pytest.raises(Crash):
        train_resumably(config, small_data(), Notes(after).context(), place)
    torch.manual_seed(after)  # another process, in another state
    notes = Notes()
    context = notes.context()
    assert_equal(train_resumably(config, small_data(), context, place), whole)
    assert notes.done == EPOCHS, "an epoch is missing or told twice"
    assert not notes
    assert f"resumed after epoch {after} of {EPOCHS}" in str(context.log)


def test_epochs_before_the_break_are_not_done_again(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.training import loop as training

    place, scored, logits = f"{tmp_path}/trial.state", [], training.logits_on_device
    monkeypatch.setattr(training, "logits_on_device", lambda *a: scored.append(1) or logits(*a))
    with pytest.raises(Crash):
        train_resumably(config, small_data(), Notes(2).context(), place)
    train_resumably(config, small_data(), Notes().context(), place)
    assert len(scored) == EPOCHS


@pytest.mark.parametrize(
    "writing, every, saved",
    [(0.0, 1.0, [1, 11, 21]), (0.0, 4.0, [1, 4, 7]), (0.0, 20.0, [1, 2, 3]), (2.0, 1.0, [1, 41])],
)
def test_checkpoints_are_written_at_intervals(
    writing: float,
    every: float,
    saved: list[int],
    config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock that epochs and writing move: ten seconds apart, and at most 5 % of the time."""
    clock, written, epoch = [0.0], [], [0]

    class Snap:
        values: ClassVar[dict[str, Any]] = {}

    def fake_train(*arguments: Any, on_state: Any, **options: Any) -> None:
        for number in range(1, 1 + max(saved)):
            clock[0], epoch[0] = clock[0] + every, number
            on_state(lambda n=number: taken.append(n) or Snap())

    def save(self: Checkpoint, content: bytes) -> None:
        clock[0] += writing
        written.append(epoch[0])

    taken: list[int] = []
    monkeypatch.setattr(resumable, "INTERVAL", 10.0)
    monkeypatch.setattr(resumable, "SHARE", 0.05)
    monkeypatch.setattr(resumable, "train", fake_train)
    monkeypatch.setattr(resumable, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(resumable, "replace", lambda *a, **k: SimpleNamespace(to_bytes=bytes))
    monkeypatch.setattr(Checkpoint, "save", save)
    resumable.train_resumably(config, small_data(), Context(), str(tmp_path / "x.state"))
    assert written == saved == taken, "a state that is not written is not even copied"


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_checkpoint_is_set_aside_and_the_trial_begins_anew(
    damage: str, config: dict[str, Any], whole: Outcome, tmp_path: Path
) -> None:
    file = tmp_path / "trial.state"
    with pytest.raises(Crash):
        train_resumably(config, small_data(), Notes(2).context(), str(file))
    content = file.read_bytes()
    flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    damaged = {"cut": content[:-1], "flip": flipped, "empty": b"", "foreign": b"\x80\x04K\x01."}
    file.write_bytes(damaged[damage])
    notes = Notes()
    assert_equal(train_resumably(config, small_data(), notes.context(), str(file)), whole)
    assert len(notes) == 1 and "damaged" in notes[0] and "started from the beginning" in notes[0]
    assert (tmp_path / "trial.state.damaged-1").read_bytes() == damaged[damage]


def test_a_checkpoint_of_another_configuration_is_not_used(
    config: dict[str, Any], whole: Outcome, tmp_path: Path
) -> None:
    place = f"{tmp_path}/trial.state"
    with pytest.raises(Crash):
        train_resumably({**config, "learning_rate": 0.02}, small_data(), Notes(2).context(), place)
    assert_equal(train_resumably(config, small_data(), Context(), place), whole)


def test_a_place_that_takes_nothing_costs_a_note_and_no_more(
    config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    notes = Notes()
    outcome = train_resumably(config, small_data(), notes.context(), f"{tmp_path}/file/trial.state")
    assert outcome.row["status"] == "completed"
    assert any("no checkpoint could be written" in note for note in notes)


def test_bytes_hold_all_of_a_snapshot() -> None:
    tensors = {"a/x": torch.arange(3.0), "a/y": torch.tensor(1, dtype=torch.uint8)}
    values = {"list": [1, 0.1], "none": None}
    again = TrainingState.from_bytes(TrainingState(tensors, values).to_bytes())
    assert again.values == values
    assert {name: t.tolist() for name, t in again.group("a").items()} == {"x": [0, 1, 2], "y": 1}


def test_a_sweep_keeps_states_of_unfinished_trials_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GSA_QUIET", raising=False)
    monkeypatch.setattr(sweep, "load_dataset", lambda *a, **k: small_data())
    fake_study.prepare_folder()
    params = fake_study.study(group=["C1"], trials_per_cell=2, epochs=EPOCHS)
    epochs: list[int] = []

    def crashing(task: Any, data: Any, context: Context) -> Any:
        send = context.send

        def count(row: dict[str, Any]) -> None:
            epochs.append(row["epoch"])
            send(row)
            if len(epochs) == EPOCHS + 2:
                raise Crash

        context.send = count
        return run_trial(task, data, context)

    with pytest.raises(Crash):
        sweep.sweep(params, InProcess(), crashing)
    [state] = Path(".state").rglob("*.state")
    assert state.name == "digits-gsa-C1-relative-d1-stem-1.state"
    capsys.readouterr()
    sweep.sweep(params, InProcess(), crashing)
    resumed = "resuming, 1 of 2 tasks finished, 1 to run, 1 of them from the last epoch"
    said = capsys.readouterr().out
    assert f"sweep: 1 cell x 2 trials, 2 in parallel; {resumed}\n" in said
    assert epochs == [1, 2, 3, 1, 2, 1, 2, 3], "rows before the break are told again"
    assert not list(Path(".state").rglob("*.state"))
    table = records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)
    Path(".state").rename("elsewhere")
    sweep.sweep(params, InProcess(), run_trial)
    whole = records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)
    timed = ["seconds", "training_seconds", "training_images_per_second", "peak_memory_bytes"]
    pd.testing.assert_frame_equal(table.drop(columns=timed), whole.drop(columns=timed))


def test_storage_is_where_it_says(tmp_path: Path) -> None:
    state = tmp_path / ".state/sweep/0123"
    assert checkpoints_of(None, state).folder == f"{state}/checkpoints"
    assert checkpoints_of(str(tmp_path), state).folder == f"{tmp_path}/sweep/0123"
    options = "?region=eu-west-1&endpoint_override=127.0.0.1:1&scheme=http"
    bucket = checkpoints_of(f"s3://bucket/part/{options}", state).of("digits cell 1").address
    assert bucket == f"s3://bucket/part/sweep/0123/digits-cell-1.state{options}"
    with pytest.raises(UserError, match=r"GSA_STORAGE: got 'nowhere://x'"):
        checkpoints_of("nowhere://x", state)


def test_a_state_is_replaced_whole_and_removed_once(tmp_path: Path) -> None:
    place = Checkpoint(f"{tmp_path}/deep/er/x.state")
    assert place.load() is None
    for content in (b"one", b"another"):
        place.save(content)
        assert place.load() == content
    assert [file.name for file in (tmp_path / "deep/er").iterdir()] == ["x.state"]
    place.remove()
    place.remove()
    assert place.load() is None
    assert not list((tmp_path / "deep/er").iterdir())
