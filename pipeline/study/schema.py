"""The sections of params.yaml: every key, the values that it takes, and its default."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Tag

from pipeline.study.hyperparameters import HYPERPARAMETERS
from pipeline.study.models import AXES, MODEL_KINDS
from pipeline.study.objectives import CONSTRAINED, OBJECTIVES
from pipeline.study.values import (
    Ascending,
    Asked,
    AxisValue,
    Flag,
    GroupName,
    InsideFolder,
    Number,
    OneOf,
    OrNull,
    OrWord,
    Several,
    Sides,
    Text,
    Whole,
    Word,
)

__all__ = [
    "GENERATION",
    "Architecture",
    "Baseline",
    "Budget",
    "Choices",
    "Confirm",
    "Interval",
    "OwnSource",
    "Params",
    "Prepare",
    "Report",
    "Resources",
    "Stopping",
    "Sweep",
]

# No decision looks at the trials of its own generation; `pipeline.sweep.proposals` has them.
GENERATION = 10

# Seeds go to numpy, torch and Optuna; this is what all of them take.
Seed = Annotated[int, Whole(0, 2**32 - 1)]
Fraction = Annotated[float, Number(0, 1, above=True, below=True)]

Bound = Annotated[float, Number(0, 1e18, above=True)]

TOKENS = ("pixel", "patch", "stem", "trunk")
POSITIONAL = OneOf(("none", "absolute", "relative", "radial", "rotary"))


class Section(BaseModel):
    """A mapping of params.yaml: an unknown key is an error, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class OwnSource(Section):
    """A data set of the user's own: where it is and what every image of it becomes."""

    kind: Annotated[str, OneOf(("folder", "arrays", "parquet"))]
    path: Annotated[str, Text()]
    # Height and width, or both: then images lie in the middle of squares of the longer side.
    size: Annotated[
        int | tuple[int, int],
        Sides(4, 1024),
        AfterValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    ]
    fit: Annotated[str, OneOf(("resize", "crop", "pad"))]
    channels: Annotated[int, Whole(1, 64)]
    dtype: Annotated[str, OneOf(("uint8", "float32"))] = "uint8"
    # Which stored values are black and white; what lies behind transparent parts; the frame of pad.
    value_range: Annotated[
        str | tuple[float, float],
        AfterValidator(lambda value: tuple(value) if isinstance(value, list) else value),
        OrWord("auto", OrWord("type", Ascending())),
    ] = "auto"
    background: Annotated[str, OneOf(("auto", "black", "white"))] = "auto"
    pad_value: Annotated[str | float, OrWord("edge", Number(0, 255))] = 0
    # Where the names of folders or arrays say splits, it has to be set: then there is no default.
    splits: Annotated[str, OneOf(("made", "given"))] = "made"
    min_count: Annotated[int, Whole(1, 10**9)] = 1
    on_bad_image: Annotated[str, OneOf(("error", "skip"))] = "error"
    group_pattern: Annotated[str | None, OrNull(Text(), "no groups")] = None  # of a folder
    image_column: Annotated[str, Text()] = "image"  # these three of parquet
    label_column: Annotated[str, Text()] = "label"
    group_column: Annotated[str | None, OrNull(Text(), "no groups")] = None
    title: Annotated[str | None, OrNull(Text(), "its name")] = None
    licence: Annotated[str | None, OrNull(Text(), "not stated")] = None
    citation: Annotated[str | None, OrNull(Text(), "not stated")] = None
    remarks: Annotated[str | None, OrNull(Text(), "none")] = None

    @property
    def side(self) -> int:
        """Height and width of the square that an image becomes."""
        return self.size if isinstance(self.size, int) else max(self.size)

    @property
    def framed(self) -> bool:
        """Whether something may be around an image."""
        return self.fit == "pad" or not isinstance(self.size, int)


class Prepare(Section):
    """Data sets and how they are split; what is left of them is for training."""

    datasets: Annotated[tuple[str, ...], Several(Word())]
    seed: Seed
    validation_fraction: Fraction
    test_fraction: Fraction
    # Fewer training images, of every class alike; smaller studies are part of larger ones.
    train_fraction: Annotated[float, Number(0, 1, above=True)] = 1
    images_per_class: Annotated[int | None, OrNull(Whole(1, 10**9), "train_fraction decides")] = (
        None
    )
    # About so many test images, drawn once: for a study that only has to be quick.
    test_images: Annotated[int | None, OrNull(Whole(1, 10**9), "all of them")] = None
    # So many times smaller in height and width, after turning; own sources have a size instead.
    shrink: Annotated[int, Whole(1, 64)] = 1
    # Whether splits that a source gives may share images; the card counts them either way.
    allow_leaks: Annotated[bool, Flag()] = False
    sources: dict[Annotated[str, Word()], OwnSource] = {}


class Architecture(Section):
    """What all cells have in common."""

    form: Annotated[str, OneOf(("framewise", "joint", "published"))]
    heads: Annotated[int | None, OrNull(Whole(1, 64), "searched")]
    window: Annotated[int | None, OrNull(Whole(1, 255), "global attention")]
    encoding: Annotated[str, OneOf(("auto", "table", "continuous"))]
    window_shape: Annotated[str, OneOf(("auto", "square", "disc", "soft_disc"))] = "auto"
    # Pixels to a token along each side, of the tokens `patch` and `stem`.
    patch_size: Annotated[int | None, OrNull(Whole(1, 1024), "4 for patches, 2 for stems")] = None


# Which cells have a hyperparameter, by axis; all of them without it.
When = dict[Annotated[str, OneOf(AXES)], Annotated[tuple[str | int, ...], Several(AxisValue())]]


class Interval(Section):
    """Numbers from low to high, uniformly or (`log`) in their logarithm, perhaps in steps."""

    low: Annotated[float, Number(-1e9, 1e9)]
    high: Annotated[float, Number(-1e9, 1e9)]
    log: Annotated[bool, Flag()] = False
    step: Annotated[float | None, OrNull(Number(0, 1e9, above=True), "any number")] = None
    when: When = {}


class Choices(Section):
    """A list of numbers, each as likely as the next."""

    choices: Annotated[tuple[float, ...], Several(Number(-1e9, 1e9))]
    when: When = {}


def _domain_tag(value: Any) -> str:
    has_choices = isinstance(value, Choices) or (isinstance(value, dict) and "choices" in value)
    return "choices" if has_choices else "interval"


Domain = Annotated[
    Annotated[Interval, Tag("interval")] | Annotated[Choices, Tag("choices")],
    Discriminator(_domain_tag),
]


class Stopping(Section):
    """Trials stop where they are not among the best 1 / reduction of earlier ones of their cell."""

    reduction: Annotated[int | None, OrNull(Whole(2, 16), "no trial is stopped")] = None
    min_epochs: Annotated[int, Whole(1, 10_000)] = 1


class Budget(Section):
    """When a sweep ends before all trials have run; what is null does not end it."""

    hours: Annotated[float | None, OrNull(Number(0, 1e6, above=True), "no limit")] = None
    gpu_hours: Annotated[float | None, OrNull(Number(0, 1e9, above=True), "no limit")] = None
    # Of a cell: trials without an improvement, looked at after every tenth trial.
    patience: Annotated[int | None, OrNull(Whole(1, 10_000), "no limit")] = None


class Sweep(Section):
    """The cells of the study, their common budget, and what is searched in each."""

    seed: Seed
    model: Annotated[tuple[str, ...], Several(OneOf(tuple(MODEL_KINDS)))]
    group: Annotated[tuple[str, ...], Several(GroupName())]
    positional: Annotated[tuple[str, ...], Several(POSITIONAL)]
    depth: Annotated[tuple[int, ...], Several(Whole(1, 64))]
    tokens: Annotated[tuple[str, ...], Several(OneOf(TOKENS))]
    architecture: Architecture
    match_parameters: Annotated[
        int | None, OrNull(Whole(100, 10**9), "the width is searched as `channels`")
    ]
    trials_per_cell: Annotated[int, Whole(1, 10_000)]
    epochs: Annotated[int, Whole(1, 10_000)]
    batch_size: Annotated[int, Whole(1, 65_536)]
    # Whether training images are turned anew at every step, each by its own angle: a multiple of
    # 90 degrees, which is exact, or any angle, bilinear.
    augment: Annotated[str, OneOf(("none", "quarter", "turn"))] = "none"
    sampler: Annotated[str, OneOf(("tpe", "random", "qmc", "grid", "cmaes"))]
    search_space: dict[Annotated[str, OneOf(tuple(HYPERPARAMETERS))], Domain]
    stopping: Stopping = Stopping()
    # Accuracy is that on the validation split; so is the invariance error.
    objectives: Annotated[tuple[str, ...], Several(OneOf(tuple(OBJECTIVES)))] = ("accuracy",)
    # A trial above one of these bounds is never the best.
    constraints: dict[Annotated[str, OneOf(CONSTRAINED)], Bound] = {}
    budget: Budget = Budget()


class Confirm(Section):
    """Seeds of the confirming runs, and how finely the chosen models are measured."""

    seeds: Annotated[tuple[int, ...], Several(Whole(0, 2**32 - 1), most=1000)]
    angles: Annotated[int, Whole(4, 3600, step=4)]
    layer_images: Annotated[int, Whole(1, 100_000)]
    hierarchy_seeds: Annotated[int, Whole(1, 1000)]


class Baseline(Section):
    """What cells are compared with: the cell of this group and encoding that else is like them.

    Where it names a model, tokens or a depth, cells of other models, tokens or depths are compared
    with that one too.
    """

    group: Annotated[str, GroupName()]
    positional: Annotated[str, POSITIONAL]
    model: Annotated[str | None, OrNull(OneOf(tuple(MODEL_KINDS)), "each its own")] = None
    tokens: Annotated[str | None, OrNull(OneOf(TOKENS), "each its own")] = None
    depth: Annotated[int | None, OrNull(Whole(1, 64), "each its own")] = None


class Report(Section):
    """What the report says of the numbers."""

    confidence: Annotated[float, Number(0.5, 1, below=True)]
    baseline: Baseline


class Resources(Section):
    """Where and how fast, never what: no stage depends on it."""

    # Trials in parallel; `auto` is as many as the machine or the cluster has room for.
    workers: Annotated[int | str, OrWord("auto", Whole(1, 100_000))]
    cpus_per_trial: Annotated[float, Number(0, 1024, above=True)]
    # `auto` is a share of a GPU by the memory that trials need, where there is a GPU.
    gpus_per_trial: Annotated[float | str, OrWord("auto", Number(0, 64))]
    trial_timeout_seconds: Annotated[float, Number(1, 604_800)]
    # How long a cluster may be without a node for a trial before the stage ends.
    node_wait_seconds: Annotated[float, Number(1, 604_800)] = 60
    # Of memory; Ray starts no more trials on a node than it has memory for.
    gigabytes_per_trial: Annotated[
        float | None, OrNull(Number(0, 10_000, above=True), "not looked at")
    ] = None
    # Asks for a cluster. A file never names one: whoever runs the study sets RAY_ADDRESS.
    address: Annotated[
        str | None, OrNull(Asked("cluster", "RAY_ADDRESS"), "RAY_ADDRESS, or this machine")
    ] = None
    # Where unfinished trials keep their state; the variable GSA_STORAGE goes before it.
    storage: Annotated[
        str | None, OrNull(InsideFolder("GSA_STORAGE"), "beside the other state of the study")
    ] = None


class Params(Section):
    """A whole study."""

    study: Annotated[str, Word()]
    prepare: Prepare
    sweep: Sweep
    confirm: Confirm
    report: Report
    resources: Resources
