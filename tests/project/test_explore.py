"""The queries of docs/sql.md and the cells of docs/explore.ipynb run on a study."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import PROVENANCE, Shape, write_study

from pipeline.results import records, schemas

ROOT = Path(__file__).resolve().parents[2]
QUERIES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/sql.md").read_text(), flags=re.DOTALL)
CELLS = [
    "".join(cell["source"])
    for cell in json.loads((ROOT / "docs/explore.ipynb").read_text())["cells"]
    if cell["cell_type"] == "code"
]
SEEDS, IMAGES = (101, 102), 6
BAD = "gsa-D4-relative-d1-stem"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished study of three cells; one of them failed."""
    folder = tmp_path_factory.mktemp("study")
    shape = Shape(
        encodings=("relative",), depths=(1,), seeds=SEEDS, epochs=4, trials=4, failing=[BAD]
    )
    write_study(folder, shape)
    place = folder / "data/confirm/digits"
    runs = records.read(place / "runs.parquet", schemas.RUNS)
    keys = schemas.key_columns(schemas.PREDICTIONS)[:-1] + [
        name for name in runs.columns if name in schemas.PREDICTIONS.names
    ]
    labels = np.arange(IMAGES) % 3
    rows: list[dict[str, Any]] = []
    for row in runs[runs["status"] == "completed"].to_dict("records"):
        guessed = labels.copy()
        guessed[0], guessed[1] = 2, (2 if row["seed"] == 101 else 1)  # the first is always wrong
        known = {key: None if row[key] != row[key] else row[key] for key in {*keys} - {"condition"}}
        rows.append({**known, "condition": "upright", "first_image": 0, "prediction": guessed})
    images = [
        {
            "study": "digits",
            "dataset": "digits",
            "split": 0,
            "image": i,
            "test_image": i,
            "label": int(label),
        }
        for i, label in enumerate(labels)
    ]  # fmt: skip
    records.write(place / "predictions.parquet", rows, schemas.PREDICTIONS, PROVENANCE)
    records.write(place / "images.parquet", images, schemas.IMAGES, PROVENANCE)
    card = {"name": "digits", "class_names": ["ant", "bee", "cat"], "mean": [0.5]}
    (folder / "data/prepare/digits").mkdir(parents=True)
    (folder / "data/prepare/digits/card.json").write_text(json.dumps(card))
    return folder


def answer(query: str) -> Any:
    return pytest.importorskip("duckdb").sql(query).df()


def test_questions_differ() -> None:
    assert len(QUERIES) >= 10 and len(set(QUERIES)) == len(QUERIES)


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_has_an_answer(query: str, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study)
    assert len(answer(query))


def asked(words: str) -> Any:
    """The answer of the one query in which these words are."""
    [query] = [query for query in QUERIES if words in query]
    return answer(query)


def test_answers_are_right(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study)
    trials = records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)
    runs = records.read("data/confirm/digits/runs.parquet", schemas.RUNS)
    ended = asked("sum(seconds)")
    assert set(ended[ended["status"] == "failed"]["cell"]) == {BAD}
    best = trials.groupby("cell")["validation_accuracy"].max().dropna()
    found = asked("row_number()").set_index("cell")["validation_accuracy"]
    assert found.to_dict() == best.to_dict()
    accuracy = runs.groupby("cell")["test_accuracy"].mean().dropna()
    upright = asked("AS deviation").set_index("cell")["upright"]
    assert upright.to_dict() == (100 * accuracy).round(1).to_dict()
    gains = asked("AS points")
    base, group = (accuracy[f"gsa-{name}-relative-d1-stem"] for name in ("C1", "C4"))
    assert list(gains["group"]) == ["C4"] and gains["points"][0] == round(100 * (group - base), 2)
    wrong = asked("unnest(prediction)")
    assert list(wrong["image"]) == [0, 1] and list(wrong["wrong"]) == [4, 2]
    assert list(wrong["class"]) == ["ant", "bee"] and set(wrong["mostly"]) == {"cat"}
    assert json.loads(asked("gsa.provenance")["provenance"][0]) == PROVENANCE


def test_the_notebook_runs(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from docs/, with the network of the best run where its row says."""
    pytest.importorskip("duckdb")
    import matplotlib
    from matplotlib import pyplot

    from gsa_core import build_model

    monkeypatch.setattr(pyplot, "show", lambda: None)
    matplotlib.use("agg")
    runs = records.read(study / "data/confirm/digits/runs.parquet", schemas.RUNS)
    (study / runs["weights"][0]).parent.mkdir(exist_ok=True)
    for path in set(runs["weights"]):
        build_model(group="C4", image_size=8, channels=4).save(study / path)
    (study / "docs").mkdir()
    monkeypatch.chdir(study / "docs")
    names: dict[str, Any] = {}
    for number, cell in enumerate(CELLS):
        exec(compile(cell, f"cell {number}", "exec"), names)
    assert set(names["cells"].index) == {"gsa-C1-relative-d1-stem", "gsa-C4-relative-d1-stem"}
    bars = names["figure"].axes[0].patches
    assert sorted(bar.get_width() for bar in bars) == pytest.approx(
        sorted(100 * names["cells"].to_numpy().ravel())
    )
    assert names["error"] < 1e-5
    pyplot.close("all")


def test_the_notebook_is_kept_without_output() -> None:
    notebook = json.loads((ROOT / "docs/explore.ipynb").read_text())
    assert notebook["nbformat"] == 4
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    assert all(cell.get("execution_count") is None for cell in notebook["cells"])
