"""What a stage reads of the stages before it, checked against the study that is to be run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.common.documents import parse_json
from pipeline.common.errors import UserError
from pipeline.results import records, schemas
from pipeline.results.provenance import data_digest, digest
from pipeline.study.datasets import SOURCES, sized
from pipeline.study.schema import Params, Prepare

__all__ = ["read_card", "read_cards", "read_trials", "search_digest"]

PREPARED, SWEPT = Path("data/prepare"), Path("data/sweep")
RUN = "run `python -m pipeline {}` first"


def read_cards(prepare: Prepare) -> dict[str, bytes]:
    """Return the card of every data set of the study, as `read_card` does."""
    return {name: read_card(prepare, name) for name in prepare.datasets}


def read_card(prepare: Prepare, name: str) -> bytes:
    """Return the card of a prepared data set as it was written.

    Raises
    ------
    UserError
        There is none, it cannot be read, or its data were prepared with other parameters than
        the study has now.
    """
    path = PREPARED / name / "card.json"
    again = RUN.format("prepare")
    try:
        content = path.read_bytes()
        card = parse_json(content, str(path), again)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: not there; {again}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {again}") from None
    if not isinstance(card, dict):
        raise UserError(f"{path}: is cut short or no card; {again}")
    for key, value in _expected(prepare, name).items():
        if key in card and card[key] != value:
            raise UserError(
                f"{path}: was prepared with {key} {json.dumps(card[key])}, but params.yaml says "
                f"{json.dumps(value)}; {again}"
            )
    return content


def _expected(prepare: Prepare, name: str) -> dict[str, Any]:
    """Return what the card of a data set says where it was prepared as the study asks."""
    known, per_class = sized(name, prepare.sources)
    expected: dict[str, Any] = {
        "seed": prepare.seed,
        "validation_fraction": prepare.validation_fraction,
        "test_fraction": prepare.test_fraction,
        "train_fraction": prepare.train_fraction if per_class is None else 1,
        "images_per_class": prepare.images_per_class if per_class is None else per_class,
        "test_images": prepare.test_images,
        "shrink": prepare.shrink if known in SOURCES else 1,
    }
    if (drawn := prepare.known_source(name)) is not None and drawn.generated:
        expected |= {
            "image_shape": [1, *2 * [drawn.image_size // prepare.shrink]],
            "given_parts": dict(drawn.given),
        }
    if known in prepare.sources:
        source = prepare.sources[known]
        expected |= {
            "image_shape": [source.channels, source.side, source.side],
            "dtype": source.dtype,
        }
    return expected


def search_digest(params: Params) -> str:
    """Return a hash of what was searched: the tables of a sweep carry it."""
    return digest([params.study, params.sweep.model_dump(mode="json")])


def read_trials(
    params: Params, name: str, card: bytes, *, any_search: bool = False
) -> pd.DataFrame:
    """Return the trials of a data set.

    Parameters
    ----------
    params
        The study's parameters.
    name
        The data set.
    card
        Its card.
    any_search
        Take the trials of another study or search as well: each row says how it was made.

    Raises
    ------
    UserError
        There are none, or they are of other data, of another study or of another search.
    """
    path = SWEPT / name / "trials.parquet"
    again = RUN.format("sweep")
    if not path.exists():
        raise UserError(f"{path}: not there; {again}")
    trials = records.read(path, schemas.TRIALS)
    others = sorted(set(trials["study"].dropna()) - {params.study})
    if others and not any_search:
        raise UserError(
            f"{path}: holds trials of the study {others[0]!r}, but params.yaml says "
            f"{params.study!r}; {again}"
        )
    origin = records.read_provenance(path)
    now = {"data_sha256": data_digest(json.loads(card))}
    if not any_search:
        now["sweep_sha256"] = search_digest(params)
    names = {"data_sha256": "other prepared data", "sweep_sha256": "another section `sweep`"}
    for key, value in now.items():
        if origin.get(key, value) != value:
            raise UserError(f"{path}: was made with {names[key]} than the study has now; {again}")
    return trials
