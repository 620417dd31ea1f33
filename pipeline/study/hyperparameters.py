"""What a trial may sample: the values that each hyperparameter takes, and its default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import Field

from pipeline.study.values import FINITE

__all__ = ["DEFAULTS", "HYPERPARAMETERS", "Hyperparameter"]

Probability = Annotated[float, Field(ge=0, lt=1), FINITE]


@dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter of a study.

    Attributes
    ----------
    kind
        The type of values that make sense.
    default
        Its value where the study does not search it; None where the study has to say.
    of_network
        Whether it is an argument of `gsa_core.build_model`; training takes the others.
    """

    kind: Any
    default: Any = None
    of_network: bool = False

    @property
    def decides_shapes(self) -> bool:
        """Whether a network's parameters or operations depend on it."""
        return self.of_network and self.kind is not Probability

    @property
    def is_integer(self) -> bool:
        """Whether its values are whole numbers."""
        return get_args(self.kind)[0] is int


HYPERPARAMETERS: dict[str, Hyperparameter] = {
    "learning_rate": Hyperparameter(Annotated[float, Field(gt=0, le=10), FINITE], 0.003),
    "weight_decay": Hyperparameter(Annotated[float, Field(ge=0, le=10), FINITE], 0.01),
    "dropout": Hyperparameter(Probability, 0.0, of_network=True),
    "attention_dropout": Hyperparameter(Probability, 0.0, of_network=True),
    "head_dropout": Hyperparameter(Probability, 0.0, of_network=True),
    "drop_path": Hyperparameter(Probability, 0.0, of_network=True),
    "feedforward_ratio": Hyperparameter(
        Annotated[float, Field(gt=0, le=16), FINITE], 2, of_network=True
    ),
    "channels": Hyperparameter(Annotated[int, Field(strict=True, ge=1, le=4096)], of_network=True),
    "heads": Hyperparameter(Annotated[int, Field(strict=True, ge=1, le=64)], of_network=True),
    "label_smoothing": Hyperparameter(Probability, 0.0),
    # How much weights without ties count (model `soft`), and the weight of an equivariance penalty.
    "softness": Hyperparameter(Annotated[float, Field(ge=0, le=1), FINITE], 0.0, of_network=True),
    "penalty": Hyperparameter(Annotated[float, Field(ge=0, le=1000), FINITE], 0.0),
    "ema": Hyperparameter(Probability, 0.0),  # decay of the average of the weights
    "batch_size": Hyperparameter(Annotated[int, Field(strict=True, ge=1, le=65_536)]),
}

DEFAULTS = {name: one.default for name, one in HYPERPARAMETERS.items() if one.default is not None}
