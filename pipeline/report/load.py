"""Read every table of a study; whatever is missing or broken becomes one clear sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from pipeline.common.errors import UserError
from pipeline.report.predictions import IMAGES, PREDICTIONS, Predictions, read_predictions
from pipeline.report.text.names import ALL_IMAGES
from pipeline.results import records, schemas

# Tables of every data set: stage, name of the file, schema.
TABLES = {
    "trials": ("sweep", "trials", schemas.TRIALS),
    "runs": ("confirm", "runs", schemas.RUNS),
    "curves": ("confirm", "epochs", schemas.EPOCHS),
    "angles": ("confirm", "angles", schemas.ANGLES),
    "layers": ("confirm", "layers", schemas.LAYERS),
    "confusion": ("confirm", "confusion", schemas.CONFUSION),
    "features": ("confirm", "features", schemas.FEATURES),
    "moves": ("confirm", "moves", schemas.MOVES),
    "calibration": ("confirm", "calibration", schemas.CALIBRATION),
    "encodings": ("confirm", "encodings", schemas.ENCODINGS),
    "mistakes": ("confirm", "mistakes", schemas.MISTAKES),
}


# Axes on which a cell and its baseline agree unless the baseline names a value.
MATCHED = ("model", "tokens", "depth", "augment", "training_images")


@dataclass(frozen=True)
class Settings:
    """Settings of the report: the study's name and the `report` section of the parameters."""

    study: str
    confidence: float = 0.95
    margin: float = 0.01
    chosen: tuple[str, ...] = ()  # which cells are left out, and which use the search of others
    objective: str = "accuracy"  # what trials and epochs are chosen by
    baseline: Mapping[str, Any] = field(
        default_factory=lambda: {"group": "C1", "positional": "absolute"}
    )

    @property
    def matched(self) -> list[str]:
        """The axes on which a cell and its baseline agree, in addition to the data set."""
        return [axis for axis in MATCHED if axis not in self.baseline]


@dataclass(frozen=True)
class TableFile:
    """One Parquet file that was read, and the provenance written into it."""

    path: str
    rows: int
    provenance: Mapping[str, Any]
    datasets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """All rows of a study, data sets one below the other, and where they came from."""

    settings: Settings
    trials: pd.DataFrame
    runs: pd.DataFrame
    curves: pd.DataFrame
    angles: pd.DataFrame
    layers: pd.DataFrame
    hierarchy: pd.DataFrame
    confusion: pd.DataFrame
    features: pd.DataFrame
    moves: pd.DataFrame
    calibration: pd.DataFrame
    encodings: pd.DataFrame
    mistakes: pd.DataFrame
    predictions: Mapping[str, Predictions]
    sources: list[TableFile]
    absent: list[str]


def load_study(settings: Settings, data: Path) -> Study:
    """Read `data/sweep/*/` and `data/confirm/*/`.

    Raises
    ------
    UserError
        When there are no rows at all, when a file cannot be read, or when rows belong to another
        study.
    """
    reader = _Reader(settings.study, data)
    names = sorted(
        {folder.name for stage in ("sweep", "confirm") for folder in (data / stage).glob("*/")}
    )
    if not names:
        raise UserError(
            f"{data} holds no results: run `dvc repro` (stages sweep and confirm) before the report"
        )
    tables = {
        table: [reader.read(f"{stage}/{name}/{file}.parquet", schema) for name in names]
        for table, (stage, file, schema) in TABLES.items()
    }
    tables["hierarchy"] = [reader.read("confirm/hierarchy.parquet", schemas.HIERARCHY)]
    frames = {key: pd.concat(parts, ignore_index=True) for key, parts in tables.items()}
    if frames["trials"].empty and frames["runs"].empty:
        raise UserError(
            f"the Parquet files under {data} hold no trial and no run: "
            "run `dvc repro` (stages sweep and confirm) before the report"
        )
    predictions = dict(
        read_predictions(folder / PREDICTIONS, folder / IMAGES, settings.study)
        for folder in sorted((data / "confirm").glob("*/"))
        if (folder / PREDICTIONS).is_file()
    )
    return Study(
        settings=settings, predictions=predictions, sources=reader.sources, absent=reader.absent,
        **frames,
    )  # fmt: skip


class _Reader:
    """Reads files one by one and keeps a list of what was there and what was not."""

    def __init__(self, study: str, data: Path) -> None:
        self.study, self.data = study, data
        self.sources: list[TableFile] = []
        self.absent: list[str] = []

    def read(self, name: str, schema: pa.Schema) -> pd.DataFrame:
        path = self.data / name
        if not path.is_file():
            self.absent.append(name)
            return schema.empty_table().to_pandas()
        frame = records.read(path, schema)
        others = sorted(set(frame["study"].dropna().unique()) - {self.study})
        if others:
            raise UserError(
                f"{path} holds rows of the study {others[0]!r} but params.yaml says "
                f"{self.study!r}: run `dvc repro` to bring the results up to date"
            )
        if "training_images" in frame:  # as text: every value of an axis is one, "all" too
            number = frame["training_images"].astype("Int64").astype("string")
            frame["training_images"] = number.fillna(ALL_IMAGES).astype(object)
        names = frame["dataset"].unique() if "dataset" in frame else ()
        provenance = records.read_provenance(path)
        self.sources.append(TableFile(name, len(frame), provenance, tuple(map(str, names))))
        return frame
