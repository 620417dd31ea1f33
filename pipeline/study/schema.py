"""The sections of params.yaml: every key, the values that it takes, and its default.

`python -m pipeline.study.schema` writes the JSON schema by which editors complete and check it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema

from pipeline.study.data_schema import OwnSource, Prepare
from pipeline.study.sweep_schema import (
    Augment,
    Blocks,
    Choices,
    Depth,
    Interval,
    Model,
    Positional,
    Sweep,
    Tokens,
    TrainingImages,
)
from pipeline.study.values import (
    FINITE,
    Asked,
    GroupName,
    InsideFolder,
    Name,
    Section,
    Thousand,
    null_is,
)

__all__ = [
    "GENERATION",
    "SCHEMA_FILE",
    "Baseline",
    "Choices",
    "Confirm",
    "Interval",
    "OwnSource",
    "Params",
    "Prepare",
    "Report",
    "Resources",
    "Sweep",
    "schema_text",
]

# No decision looks at the trials of its own generation; `pipeline.sweep.proposals` has them.
GENERATION = 10
SCHEMA_FILE = "params.schema.json"

Seconds = Annotated[float, Field(ge=1, le=604_800), FINITE]
OfEach = Annotated[None, Field(description="each its own")]


Seeds = Thousand[Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]]


class MoreSeeds(Section):
    """Further seeds of some cells."""

    seeds: Seeds
    """In addition to `confirm.seeds`."""
    include: Blocks
    """The cells that have them: those in at least one of these blocks."""


class Confirm(Section):
    """Seeds of the confirming runs, and how finely the chosen models are measured."""

    seeds: Seeds
    """Other seeds than that of the sweep."""
    more_seeds: Annotated[MoreSeeds | None, null_is("all cells have the same seeds")] = None
    """Where some cells are to be known better than others."""
    splits: Annotated[int, Field(strict=True, ge=1, le=100)] = 1
    """Into training, validation and test images: the prepared one, and others of the same images.
    The seeds of split j are 1,000 j higher."""
    keep_runs: Annotated[bool, Field(strict=True)] = False
    """Whether finished runs are kept in `results/<study>/runs`, for git, and taken from there."""
    angles: Annotated[int, Field(strict=True, ge=4, le=3600, multiple_of=4)] = 8
    """Steps of a full turn."""
    layer_images: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 32
    """Test images on which the error of each layer is measured."""
    measured_images: (
        Annotated[int, Field(strict=True, ge=2)] | Annotated[None, Field(description="all")]
    ) = 1000
    """Of the test images, for mirrors, shifts, angles between quarter turns and averages over D4
    or of turned images."""
    keep: Literal["auto", "logits", "predictions", "none"] = "auto"
    """Of every test image: logits (one number a class, before the softmax), or predictions (the
    class); `auto` is logits unless they are many."""
    hierarchy_seeds: Annotated[int, Field(strict=True, ge=1, le=1000)] = 3
    """Random networks of each group and encoding, for the table of untrained symmetries."""


class Baseline(Section):
    """What cells are compared with: the cell of this group and encoding that else is like them.

    On axes that it does not name, a cell and its baseline agree; where it names a model, tokens, a
    depth, an augmentation or a number of training images, cells of others are compared with it.
    """

    group: GroupName
    """The group of the baseline."""
    positional: Positional
    """The positional encoding of the baseline."""
    model: Model | OfEach = None
    """The model of the baseline."""
    tokens: Tokens | OfEach = None
    """The tokens of the baseline."""
    depth: Depth | OfEach = None
    """The depth of the baseline."""
    augment: Augment | OfEach = None
    """The augmentation of the baseline."""
    training_images: Literal["all"] | TrainingImages | OfEach = None
    """The training images of the baseline."""


class Report(Section):
    """What the report says of the numbers."""

    confidence: Annotated[float, Field(ge=0.5, lt=1), FINITE] = 0.95
    """Of intervals: 0.95 is 95 %."""
    margin: Annotated[float, Field(gt=0, lt=1), FINITE] = 0.01
    """Differences of accuracy up to here are called the same; fix it before the study runs."""
    baseline: Baseline
    """What every cell is compared with."""


class Resources(Section):
    """Where and how fast, never what: no stage depends on it."""

    workers: Literal["auto"] | Annotated[int, Field(strict=True, ge=1, le=100_000)] = "auto"
    """Trials in parallel; `auto` is as many as the machine or the cluster has room for."""
    cpus_per_trial: Annotated[float, Field(gt=0, le=1024), FINITE] = 1
    """Processor cores that Ray reserves for a trial, and threads that it uses."""
    gpus_per_trial: Literal["auto"] | Annotated[float, Field(ge=0, le=64), FINITE] = 0
    """`auto` is a share of a GPU by measured memory and throughput, where there is a GPU."""
    trial_timeout_seconds: Seconds
    """A trial or run that takes longer is ended, and its row says so."""
    node_wait_seconds: Seconds = 60
    """How long a cluster may be without a node for a trial before the stage ends."""
    gigabytes_per_trial: (
        Annotated[float, Field(gt=0, le=10_000), FINITE]
        | Annotated[None, Field(description="not looked at")]
    ) = None
    """Of memory; Ray starts no more trials on a node than it has memory for."""
    address: Asked | Annotated[None, Field(description="RAY_ADDRESS, or this machine")] = None
    """Asks for a cluster. Its address comes from the variable RAY_ADDRESS, never from a file."""
    storage: (
        InsideFolder | Annotated[None, Field(description="with the other state of the study")]
    ) = None
    """Where unfinished trials keep their state; the variable GSA_STORAGE goes before it."""
    track: Literal["mlflow", "trackio", "wandb"] | Annotated[None, Field(description="no tool")] = (
        None
    )
    """A tool that every finished trial and run is sent to. Where it runs is said by its own
    variables, such as MLFLOW_TRACKING_URI."""


class Params(Section):
    """A whole study."""

    study: Name
    """Its name, in every row of its results."""
    prepare: Prepare
    sweep: Sweep
    confirm: Confirm
    report: Report
    resources: Resources


class _Untitled(GenerateJsonSchema):
    """Without titles that only repeat the names of keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema_text() -> str:
    """The JSON schema of a study, as the file that editors read."""
    schema = Params.model_json_schema(schema_generator=_Untitled)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(head | schema, indent=2) + "\n"


if __name__ == "__main__":
    Path(SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")
