"""What a trial may sample: the values that each hyperparameter takes, and its default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.study.values import Kind, Number, Whole

__all__ = ["DEFAULTS", "HYPERPARAMETERS", "Hyperparameter"]


@dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter of a study.

    Attributes
    ----------
    kind
        Which values make sense.
    default
        Its value where the study does not search it; None where the study has to say.
    of_network
        Whether it is an argument of `gsa_core.build_model`; training takes the others.
    """

    kind: Kind
    default: Any = None
    of_network: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is a whole number."""
        return isinstance(self.kind, Whole)


_PROBABILITY = Number(0, 1, below=True)

HYPERPARAMETERS: dict[str, Hyperparameter] = {
    "learning_rate": Hyperparameter(Number(0, 10, above=True), 0.003),
    "weight_decay": Hyperparameter(Number(0, 10), 0.01),
    "dropout": Hyperparameter(_PROBABILITY, 0.0, of_network=True),
    "attention_dropout": Hyperparameter(_PROBABILITY, 0.0, of_network=True),
    "feedforward_ratio": Hyperparameter(Number(0, 16, above=True), 2, of_network=True),
    "channels": Hyperparameter(Whole(1, 4096), of_network=True),
    "heads": Hyperparameter(Whole(1, 64), of_network=True),
    "label_smoothing": Hyperparameter(_PROBABILITY, 0.0),
}

DEFAULTS = {name: one.default for name, one in HYPERPARAMETERS.items() if one.default is not None}
