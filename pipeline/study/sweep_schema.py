"""The section `sweep` of params.yaml: the cells of a study and what is searched in each."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag

from pipeline.study.hyperparameters import HYPERPARAMETERS
from pipeline.study.models import AXES, DATASET, MODEL_KINDS, POSITIONAL
from pipeline.study.objectives import CONSTRAINED, OBJECTIVES
from pipeline.study.values import (
    FINITE,
    NAME,
    GroupName,
    Name,
    OneOf,
    Section,
    Several,
    accepts,
    null_is,
)

__all__ = [
    "Architecture",
    "Augment",
    "Blocks",
    "Budget",
    "Choices",
    "Depth",
    "Interval",
    "LightAugment",
    "Match",
    "Model",
    "Positional",
    "Stopping",
    "Sweep",
    "Tokens",
    "TrainingImages",
]

Model = Annotated[str, OneOf(MODEL_KINDS)]
Positional = Annotated[str, OneOf(POSITIONAL)]
Depth = Annotated[int, Field(strict=True, ge=1, le=64)]
Tokens = Literal["pixel", "patch", "stem", "trunk"]
Augment = Literal["none", "quarter", "turn", "turn_mirror"]
TrainingImages = Annotated[int, Field(strict=True, ge=1, le=10**9)]
Many = Annotated[int, Field(strict=True, ge=1, le=10_000)]
NoLimit = Annotated[None, Field(description="no limit")]
Finite = Annotated[float, Field(ge=-1e9, le=1e9), FINITE]


class Architecture(Section):
    """What all cells have in common."""

    form: Literal["framewise", "joint", "published"]
    """Which positions and group elements attend to which."""
    heads: (
        Annotated[int, Field(strict=True, ge=1, le=64)]
        | Annotated[None, Field(description="searched")]
    )
    """Attention heads of every block."""
    window: (
        Annotated[int, Field(strict=True, ge=1, le=255)]
        | Annotated[None, Field(description="global attention")]
    ) = None
    """An odd number of tokens."""
    encoding: Literal["auto", "table", "continuous"] = "auto"
    """How absolute and relative positions are held: a learned table, a network of the coordinates
    (`continuous`), or (`auto`) a table where the group keeps the axes and the extent is known."""
    window_shape: Literal["auto", "square", "disc", "soft_disc"] = "auto"
    """Which tokens a window has; `auto` is a square where the group keeps the axes, else a disc."""
    patch_size: (
        Annotated[int, Field(strict=True, ge=1, le=1024)]
        | Annotated[None, Field(description="4 for patches, 2 for stems")]
    ) = None
    """Pixels to a token along each side, of the tokens `patch` and `stem`."""
    max_tokens: (
        Annotated[int, Field(strict=True, ge=1, le=10**6)]
        | Annotated[None, Field(description="patch_size says how many")]
    ) = None
    """Instead of `patch_size`: the smallest that leaves at most so many tokens of an image."""
    basis: Literal["bilinear", "gaussian"] = "bilinear"
    """How the kernels of staged networks turn: by their pixels, or by smooth functions."""
    kernel_size: (
        Annotated[int, Field(strict=True, ge=1, le=63)] | Annotated[None, Field(description="5")]
    ) = None
    """An odd number of pixels, of the lifting kernels of staged networks; others have 2 fewer."""


AxisValue = Annotated[
    Name
    | Annotated[int, Field(strict=True)]
    | Annotated[None, Field(description="all training images")],
    accepts("a name, a whole number or null"),
]


def _listed(value: Any) -> Any:
    """One value of an axis as a list of one."""
    is_word = isinstance(value, str) and re.fullmatch(NAME, value)
    return [value] if value is None or type(value) is int or is_word else value


AxisValues = Annotated[Several[AxisValue], BeforeValidator(_listed)]
When = dict[Annotated[str, OneOf(AXES)], AxisValues]
Block = Annotated[
    dict[Annotated[str, OneOf((DATASET, *AXES))], AxisValues], Field(min_length=1, max_length=8)
]
Blocks = Annotated[tuple[Block, ...], Field(min_length=1, max_length=64)]


class Interval(Section):
    """Numbers from low to high, uniformly or (`log`) in their logarithm, perhaps in steps."""

    low: Finite
    """The lowest value."""
    high: Finite
    """The highest value."""
    log: Annotated[bool, Field(strict=True)] = False
    """Whether the logarithm is uniform."""
    step: (
        Annotated[float, Field(gt=0, le=1e9), FINITE]
        | Annotated[None, Field(description="any number")]
    ) = None
    """The distance between values."""
    when: When = Field(default_factory=dict)
    """Which cells have the hyperparameter, by axis; all of them without it."""


class Choices(Section):
    """A list of numbers, each as likely as the next."""

    choices: Several[Finite]
    """The values."""
    when: When = Field(default_factory=dict)
    """Which cells have the hyperparameter, by axis; all of them without it."""


def _domain_tag(value: Any) -> str:
    has_choices = isinstance(value, Choices) or (isinstance(value, dict) and "choices" in value)
    return (Choices if has_choices else Interval).__name__


Domain = Annotated[
    Annotated[Interval, Tag(Interval.__name__)] | Annotated[Choices, Tag(Choices.__name__)],
    Discriminator(_domain_tag),
]


class Stopping(Section):
    """Trials stop where they are not among the best 1 / reduction of earlier ones of their cell."""

    reduction: (
        Annotated[int, Field(strict=True, ge=2, le=16)]
        | Annotated[None, Field(description="no trial is stopped")]
    ) = None
    """Of earlier trials, the best one in so many sets what a trial has to reach."""
    min_epochs: Many = 1
    """The epoch of the first decision; each further one is `reduction` times as far."""


class Match(Section):
    """What is the same for every cell."""

    of: Literal["parameters", "flops", "seconds"]
    """By the width of each cell, except seconds: by its epochs."""
    at: Annotated[float, Field(gt=0, le=1e15), FINITE]
    """Parameters; FLOPs of the forward pass of one image; seconds of the steps of a training."""
    parameters: (
        Annotated[int, Field(strict=True, ge=100, le=10**9)]
        | Annotated[None, Field(description="with parameters and flops")]
    ) = None
    """The width of each cell where seconds are matched."""

    @property
    def width(self) -> tuple[str, int]:
        """What the width of a cell is solved for: of what, and how many."""
        if self.of == "seconds":
            return "parameters", self.parameters or 0
        return self.of, int(self.at)


class LightAugment(Section):
    """Augmentation in addition to turns, the same for every cell; 0 is off."""

    shift: Annotated[int, Field(strict=True, ge=0, le=1024)] = 0
    """Up to so many pixels in each direction."""
    crop: Annotated[float, Field(ge=0, lt=1), FINITE] = 0
    """Windows of 1 - crop to 1 of the height and width, resized to the whole image."""
    colour: Annotated[float, Field(ge=0, le=1), FINITE] = 0
    """Brightness, contrast and saturation, each times 1 - colour to 1 + colour."""


class Budget(Section):
    """When a sweep ends before all trials have run; what is null does not end it."""

    hours: Annotated[float, Field(gt=0, le=1e6), FINITE] | NoLimit = None
    """Of the clock while the sweep runs, all starts together."""
    gpu_hours: Annotated[float, Field(gt=0, le=1e9), FINITE] | NoLimit = None
    """Of the GPUs that trials ask for."""
    patience: Many | NoLimit = None
    """Of a cell: trials without an improvement, looked at after every tenth trial."""


def _one_augment(value: Any) -> Any:
    """One augmentation as a list of one."""
    return [value] if value in get_args(Augment) else value


class Sweep(Section):
    """The cells of the study, their common budget, and what is searched in each."""

    seed: Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]
    """Of the search and of its trials."""
    model: Several[Model]
    """Kinds of network; docs/models.md describes them."""
    group: Several[GroupName]
    """Symmetry of the network: turns (C1, C2, C4, ...), turns and mirrors (D1, D4, ...); C1 is
    none."""
    positional: Several[Positional]
    """Positional encodings; docs/attention.md describes them."""
    depth: Several[Depth]
    """Attention blocks of a network."""
    tokens: Several[Tokens]
    """What attention attends to: pixels, patches, features of a small convolutional stem, or those
    of a deeper trunk."""
    augment: Annotated[Several[Augment], BeforeValidator(_one_augment)] = ("none",)
    """How training images are turned at every step, each by its own angle: a multiple of 90
    degrees, which is exact; any angle, bilinear; any angle, and mirrored half of the time."""
    training_images: Several[
        TrainingImages | Annotated[None, Field(description="all training images")]
    ] = (None,)
    """How many training images a cell has, of every class alike; smaller sets are parts of larger
    ones."""
    include: Blocks = ()
    """Cells of the study: those in at least one of these blocks; all of them without it."""
    skip: Blocks = ()
    """Blocks of cells that are left out."""
    architecture: Architecture
    match: Annotated[Match | None, null_is("the width is searched as `channels`")] = None
    """Equal budgets: what is the same for every cell."""
    trials_per_cell: Many
    """Configurations that are tried in each cell that is searched."""
    epochs: Many | Annotated[None, Field(description="with match: {of: seconds}")]
    """Of each training, in the search and in `confirm`."""
    search_epochs: Annotated[Many | None, null_is("as many as `epochs`")] = None
    """Of each trial: a short search for long runs."""
    equal_steps: Annotated[bool, Field(strict=True)] = True
    """Whether cells with fewer training images take as many steps: their epochs repeat images."""
    batch_size: (
        Annotated[int, Field(strict=True, ge=1, le=65_536)]
        | Annotated[None, Field(description="searched")]
    )
    """Training images of a step."""
    schedule: Literal["one_cycle", "cosine", "step"] = "one_cycle"
    """Of the learning rate: a warm-up of a fifth and a cosine with the momentum against it; a
    warm-up of a twentieth and a cosine; a tenth after half and a hundredth after three quarters."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Of the products in training steps; on a CPU, tf32 is fp32. Whatever is measured is fp32."""
    compile: Annotated[bool, Field(strict=True)] = False
    """Whether torch compiles training steps; each network takes tens of seconds more to start."""
    cuda_graph: Annotated[bool, Field(strict=True)] = False
    """Whether a GPU replays the gradients of a step as one graph, faster for small networks."""
    class_weights: Literal["none", "balanced"] = "none"
    """Whether the loss counts images of rare classes more, so that every class counts the same."""
    light_augment: LightAugment = LightAugment()
    """Shifts, crops and colours of training images."""
    penalty_turns: Literal["quarter", "turn", "turn_mirror"] = "quarter"
    """How images are turned, as by `augment`, for the equivariance penalty (`penalty`)."""
    tuned_on: dict[Name, Name] = Field(default_factory=dict)
    """Data sets that are not searched, and whose best configurations they use, cell by cell."""
    tuned_as: dict[Annotated[str, OneOf(AXES)], AxisValue] = Field(default_factory=dict)
    """Values of axes; with `group: C4`, the cells of all groups use the search of C4."""
    tune_images: Literal["each", "largest"] = "each"
    """Whether each number of training images is searched, or the largest of a cell for all."""
    sampler: Literal["tpe", "random", "qmc", "grid", "cmaes"]
    """Of Optuna: what proposes the next configuration of a cell."""
    search_space: dict[Annotated[str, OneOf(HYPERPARAMETERS)], Domain]
    """What is searched, by hyperparameter; those that are missing have their defaults."""
    stopping: Stopping = Stopping()
    """Early stopping of trials that are worse than earlier ones."""
    objectives: Several[Annotated[str, OneOf(OBJECTIVES)]] = ("accuracy",)
    """All but the costs are those on the validation split. The best trial of a cell, and the best
    epoch of a training, is that of the first."""
    objective_turns: Literal["quarter", "turn", "turn_mirror"] = "quarter"
    """How validation images are turned, as by `augment`, for the objective `accuracy_turned`: each
    by its own angle, the same in all trials, epochs and runs."""
    constraints: dict[
        Annotated[str, OneOf(CONSTRAINED)], Annotated[float, Field(gt=0, le=1e18), FINITE]
    ] = Field(default_factory=dict)
    """A trial above one of these bounds is never the best."""
    budget: Budget = Budget()
    """When the search ends before all trials have run."""

    @property
    def trial_epochs(self) -> int:
        """Epochs of a trial of the search; 1 where measured seconds decide them."""
        return self.search_epochs or self.epochs or 1
