"""What the models of a study are: which axes and hyperparameters they have, and which they lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.study.hyperparameters import HYPERPARAMETERS

__all__ = [
    "AXES",
    "DATASET",
    "MODEL_KINDS",
    "PATCHED",
    "POSITIONAL",
    "ModelKind",
    "encoded_by",
    "network_arguments",
    "own_form",
    "reference_of",
    "unused",
]

_NETWORK_AXES = ("model", "group", "positional", "depth", "tokens")
AXES = (*_NETWORK_AXES, "augment", "training_images")
DATASET = "dataset"  # counts as an axis of blocks

PATCHED = ("patch", "stem")  # tokens that have a patch size
# Keys of a configuration that `gsa_core.build_model` takes, most of them by the same name.
_ARGUMENTS = (
    *_NETWORK_AXES, "form", "window", "window_shape", "encoding", "patch_size", "basis",
    "kernel_size", "in_channels", "num_classes", "image_size",
    *(n for n, one in HYPERPARAMETERS.items() if one.of_network),
)  # fmt: skip
# Positional encodings, from the least to the most structured, and the kinds of encoding that each
# can be held by. They are those of `gsa_core.attention.encodings.registry`, which imports torch.
POSITIONAL = {
    "none": (),
    "absolute": ("table", "continuous"),
    "relative": ("table", "continuous"),
    "radial": ("continuous",),
    "rotary": (),
}
_KERNELS = frozenset({"basis", "kernel_size"})  # of staged networks
_ATTENTION = frozenset(
    {"form", "heads", "window", "window_shape", "encoding", "dropout", "attention_dropout",
     "drop_path", "feedforward_ratio", "patch_size"}
)  # fmt: skip
_TIED = frozenset({"softness"})  # ties that are not loosened
# Of the published networks, whose sizes are those of the publications.
_OF_PUBLICATION = _KERNELS | _TIED | {
    "heads", "channels", "window_shape", "encoding", "dropout", "head_dropout", "drop_path",
    "feedforward_ratio", "patch_size",
}  # fmt: skip


@dataclass(frozen=True)
class ModelKind:
    """One model of `gsa_core.build_model`, as a study sees it.

    Attributes
    ----------
    fixed
        Axes on which all its cells are the same, and what they are there.
    lacks
        Keys of a configuration that mean nothing to it.
    implies
        Axes that are part of what it is: no arguments of its network.
    keeps_axes
        Whether its group must map the pixel grid onto itself.
    form
        Its form of attention, where the study does not choose.
    network
        The model of `build_model` that it is a variant of, where it has another name.
    rival_of
        The model whose exact symmetry it is another way to; it is drawn with it.
    exact
        Whether ties make its answers symmetric, whatever its weights.
    needs
        Hyperparameters that make it what it is: a study has to search them.
    """

    fixed: Mapping[str, Any] = field(default_factory=dict)
    lacks: frozenset[str] = _KERNELS | _TIED
    implies: frozenset[str] = frozenset()
    keeps_axes: bool = False
    form: str | None = None
    network: str | None = None
    rival_of: str | None = None
    exact: bool = True
    needs: frozenset[str] = frozenset()

    @property
    def width_is_fixed(self) -> bool:
        """Whether its number of channels is part of what it is."""
        return "channels" in self.lacks


def _published(depth: int) -> ModelKind:
    fixed = {"positional": "relative", "depth": depth, "tokens": "pixel"}
    return ModelKind(fixed, _OF_PUBLICATION, frozenset(fixed), form="published")


def _without_attention(fixed: dict[str, Any], lacks: frozenset[str] = frozenset()) -> ModelKind:
    return ModelKind(fixed, _ATTENTION | _TIED | lacks, frozenset(fixed))


MODEL_KINDS = {
    "gsa": ModelKind(),
    "hybrid": ModelKind({"tokens": "trunk"}),
    "gcnn": _without_attention({"positional": "none", "tokens": "trunk"}, _KERNELS),
    "staged": ModelKind({"tokens": "trunk"}, _TIED | {"patch_size"}, frozenset({"tokens"})),
    "staged_gcnn": _without_attention({"positional": "none", "depth": 3, "tokens": "trunk"}),
    "vit": ModelKind({"group": "C1", "tokens": "patch"}),
    "symmetrized": ModelKind({"tokens": "patch"}, keeps_axes=True),
    # Other ways to the symmetry of `gsa`.
    "canonical": ModelKind(rival_of="gsa"),
    "soft": ModelKind(
        lacks=_KERNELS, network="gsa", rival_of="gsa", exact=False, needs=frozenset({"softness"})
    ),
    "penalised": ModelKind(network="gsa", rival_of="gsa", needs=frozenset({"penalty"})),
    "published_rotmnist": _published(6),
    "published_cifar10": _published(7),
    "published_pcam": _published(5),
}


def encoded_by(kind: str) -> list[str]:
    """Positional encodings that can be held by a kind of encoding.

    >>> encoded_by("table")
    ['absolute', 'relative']
    """
    return [name for name, kinds in POSITIONAL.items() if kind in kinds]


def reference_of(model: str) -> str:
    """The model whose exact symmetry a model is another way to; itself of all others.

    >>> reference_of("soft"), reference_of("vit")
    ('gsa', 'vit')
    """
    return (MODEL_KINDS[model].rival_of if model in MODEL_KINDS else None) or model


def own_form(model: str, form: str) -> str:
    """Form of attention of a model in a study of that form."""
    return MODEL_KINDS[model].form or form


def unused(config: Mapping[str, Any]) -> frozenset[str]:
    """Keys of a configuration that its network has no use for, and does not take.

    >>> config = {"model": "gsa", "tokens": "trunk", "positional": "rotary", "depth": 1}
    >>> sorted(unused({**config, "encoding": "table", "window": 3}))
    ['basis', 'encoding', 'kernel_size', 'patch_size', 'softness']
    """
    model = MODEL_KINDS[config["model"]]
    without = set(model.lacks | model.implies)
    if config["tokens"] not in PATCHED:
        without.add("patch_size")
    if config["window"] is None:
        without.add("window_shape")
    kind = "continuous" if config["encoding"] == "auto" else config["encoding"]
    if config["positional"] not in encoded_by(kind):
        without.add("encoding")
    if config["tokens"] == "pixel" and config["depth"] == 1 and config["positional"] != "absolute":
        without.add("form")  # the one block lifts
    return frozenset(without)


def network_arguments(config: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """Return the arguments of `gsa_core.build_model` for a configuration, but for some keys."""
    names = sorted(set(_ARGUMENTS) - unused(config) - set(without))
    arguments = {
        {"heads": "num_heads"}.get(name, name): config[name]
        for name in names
        if config.get(name) is not None  # older configurations lack the newest
    }
    network = MODEL_KINDS[config["model"]].network
    return arguments if network is None else {**arguments, "model": network}
