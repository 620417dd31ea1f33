"""Networks in folders and repositories of Hugging Face, with a model card; an optional extra.

``pip install 'gsa-core[hub]'``. Weights are the file of `Model.save`, read by `gsa_core.load`:
nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gsa_core.equivariance import invariance_error
from gsa_core.groups import act_on_image
from gsa_core.models.loading import load
from gsa_core.models.network import Model

__all__ = ["ModelFacts", "from_pretrained", "push_to_hub", "save_pretrained"]

_WEIGHTS = "model.safetensors"
_IMAGES = 8  # random ones, that invariance is measured on


@dataclass(frozen=True)
class ModelFacts:
    """What a model card says of a trained network.

    Parameters
    ----------
    data
        What it was trained on.
    protocol
        How: optimiser, epochs, augmentation, how hyperparameters were chosen.
    accuracy
        Test accuracy, a fraction.
    interval
        Ends of its 95 % interval.
    license
        Identifier of the licence of the weights, such as ``"mit"``.
    """

    data: str
    protocol: str
    accuracy: float | None = None
    interval: Sequence[float] | None = None
    license: str | None = None

    def __post_init__(self) -> None:
        if (self.accuracy is None) != (self.interval is None):
            raise ValueError("accuracy: got one without an interval; accepts both or neither")
        if self.accuracy is not None and self.interval is not None:
            ends = list(self.interval)
            if len(ends) != 2 or not 0 <= ends[0] <= self.accuracy <= ends[1] <= 1:
                raise ValueError(
                    f"interval: got {ends} around {self.accuracy}; accepts (low, high), fractions "
                    "that enclose the accuracy"
                )


def _hub() -> Any:
    """The package, imported by those who use it alone."""
    try:
        import huggingface_hub
    except ImportError:
        raise ImportError(
            "gsa_core.hub needs the package huggingface_hub; install it with: "
            "pip install 'gsa-core[hub]'"
        ) from None
    return huggingface_hub


@cache
def _hub_class() -> Any:
    """A class that holds a network and has the methods of Hugging Face's mixin."""
    hub = _hub()

    class HubNetwork(nn.Module, hub.PyTorchModelHubMixin, library_name="gsa-core"):  # type: ignore
        def __init__(self, network: Model, facts: ModelFacts | None = None) -> None:
            super().__init__()
            self.network, self.facts = network, facts

        def _save_pretrained(self, save_directory: Path) -> None:
            self.network.save(save_directory / _WEIGHTS)
            config = json.dumps(self.network.config, indent=2, sort_keys=True)
            (save_directory / "config.json").write_text(config + "\n")
            (save_directory / "README.md").write_text(_card(self.network, self.facts))

        def generate_model_card(self, *_: Any, **__: Any) -> Any:
            return hub.ModelCard(_card(self.network, self.facts))

    return HubNetwork


def save_pretrained(
    model: nn.Module, folder: str | os.PathLike[str], facts: ModelFacts | None = None
) -> None:
    """Write weights, ``config.json`` and a model card into a folder.

    Parameters
    ----------
    model
        A network of `build_model`.
    folder
        Made if it is not there.
    facts
        What the card says of data, protocol and accuracy. Invariance is measured.
    """
    _hub_class()(_checked(model), facts).save_pretrained(folder)


def push_to_hub(
    model: nn.Module, repo_id: str, facts: ModelFacts | None = None, **options: Any
) -> str:
    """Upload what `save_pretrained` writes; `options` are those of `PyTorchModelHubMixin`."""
    return _hub_class()(_checked(model), facts).push_to_hub(repo_id, **options)


def from_pretrained(
    place: str | os.PathLike[str], device: torch.device | str = "cpu", **options: Any
) -> Model:
    """A network from a folder, or from a repository ``owner/name``, in evaluation mode.

    Parameters
    ----------
    place
        The folder or the repository.
    device
        Where the network is to be.
    **options
        As ``hf_hub_download`` takes them: ``revision``, ``token``, ``cache_dir``, ...

    Raises
    ------
    ValueError
        There is no such folder or no such file in it, or it is not of a network of `build_model`.
    """
    if os.path.isdir(place):
        file = Path(place) / _WEIGHTS
        if not file.is_file():
            raise ValueError(f"{os.fspath(place)}: has no {_WEIGHTS}; accepts what "
                             "save_pretrained wrote")  # fmt: skip
        return load(file, device)
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", os.fspath(place)):
        raise ValueError(f"{os.fspath(place)}: is no folder; accepts one, or owner/name of the hub")
    return load(_hub().hf_hub_download(os.fspath(place), _WEIGHTS, **options), device)


def _checked(model: object) -> Model:
    if not isinstance(model, Model):
        raise TypeError(f"model: got a {type(model).__name__}; accepts a network of build_model")
    return model


def _card(model: Model, facts: ModelFacts | None) -> str:
    """The model card: a header of keys, and what is known."""
    config = model.config
    header = ["library_name: gsa-core", "pipeline_tag: image-classification", "tags:",
              "- equivariance", "- self-attention"]  # fmt: skip
    if facts is not None and facts.license is not None:
        header.insert(0, f"license: {facts.license}")
    accuracy = "not stated"
    if facts is not None and facts.accuracy is not None and facts.interval is not None:
        low, high = facts.interval
        accuracy = f"{facts.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})"
    rows = {
        "Network": f"`{config['model']}`, group {config['group']}, "
        f"{sum(x.numel() for x in model.parameters()):,} parameters",
        "Data": "not stated" if facts is None else facts.data,
        "Protocol": "not stated" if facts is None else facts.protocol,
        "Test accuracy": accuracy,
        "Invariance error": _invariance(model),
    }
    lines = [f"- **{name}**: {text}" for name, text in rows.items()]
    arguments = json.dumps(config, indent=2, sort_keys=True)
    return "\n".join([
        "---", *header, "---", f"# {config['model']}, {config['group']}", "", *lines, "",
        "```python", "from gsa_core.hub import from_pretrained", "",
        'model = from_pretrained("this folder or repository")', "```", "",
        "Arguments of `build_model`:", "", "```json", arguments, "```", "",
    ])  # fmt: skip


@torch.no_grad()
def _invariance(model: Model) -> str:
    """Measured on random images under the elements that keep the pixel grid."""
    config, training = model.config, model.training
    size = config["image_size"]
    like = next(model.parameters())
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(_IMAGES, config["in_channels"], *size, generator=generator).to(like)
    elements = [s for s in model.group.exact_elements if s]
    if not elements or size[0] != size[1] or not model.num_classes:
        return "not measured"
    model.eval()
    logits = model(images)
    worst = max(
        invariance_error(logits, model(act_on_image(model.group, s, images))) for s in elements
    )
    model.train(training)
    return (
        f"{worst:.0e} of logits under {model.group.name}, the largest over its elements that keep "
        f"the pixel grid, on {_IMAGES} random images; 1 is as different as another image"
    )
