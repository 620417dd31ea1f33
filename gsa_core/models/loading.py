"""Reads the files that `save` of a network writes: nothing is unpickled, everything is checked."""

from __future__ import annotations

import errno
import inspect
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsa_core.models.build import build_model
from gsa_core.models.network import Model
from gsa_core.models.network_file import FORMAT, KEY, VERSION

__all__ = ["from_bytes", "load"]


def load(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Model:
    """Load a network from a file that its `save` wrote, in evaluation mode.

    Parameters
    ----------
    path
        The safetensors file.
    device
        Where the network is to be.

    Raises
    ------
    ValueError
        The file is damaged or of something else, in a sentence that says which.
    OSError
        The file cannot be read.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(
            errno.EISDIR, "path: got a folder; accepts a file that `save` wrote", os.fspath(path)
        )
    return from_bytes(Path(path).read_bytes(), os.fspath(path), device)


def from_bytes(content: bytes, name: str, device: torch.device | str = "cpu") -> Model:
    """A network from the content of its file, called `name` in errors."""
    try:
        network = _network(content)
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:  # sizes that none can have
        raise ValueError(f"{name}: {str(error).partition(chr(10))[0]}") from None
    return network.to(device)


def _network(content: bytes) -> Model:
    import safetensors.torch  # by those who load alone
    from safetensors import SafetensorError

    try:
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError) as error:
        if content[:2] in (b"PK", b"\x80\x02"):  # a zip, or a pickle of protocol 2
            raise ValueError(
                "is no safetensors file, but one of torch.save or a zip; accepts what `save` of a "
                "network of build_model wrote"
            ) from None
        raise ValueError(f"is no whole safetensors file ({error})") from None
    with torch.device("meta"):  # nothing is drawn, and no memory taken
        model = build_model(**_arguments(metadata, len(tensors)))
    _check_tensors(model, tensors)
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def _arguments(metadata: dict[str, str], count: int) -> dict[str, Any]:
    """The arguments of `build_model` in the metadata of a file of so many tensors."""
    if KEY not in metadata:
        raise ValueError(
            "has no configuration of a network; accepts what `save` of a network of build_model "
            "wrote (weights of earlier versions have none: train them again)"
        )
    try:
        about = json.loads(metadata[KEY])
        form, version, arguments = about["format"], about["version"], about["arguments"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("has a damaged configuration") from None
    if form != FORMAT:
        raise ValueError(
            f"has the format {form!r} of gsa_core {version!r}; gsa_core {VERSION} reads {FORMAT}"
        )
    known = set(inspect.signature(build_model).parameters) - {"device", "dtype"}
    if not isinstance(arguments, dict) or not set(arguments) <= known:
        unknown = sorted(set(arguments) - known) if isinstance(arguments, dict) else arguments
        raise ValueError(
            f"has arguments that build_model of gsa_core {VERSION} does not know: {unknown!r:.200}"
        )
    depth = arguments.get("depth")
    if isinstance(depth, int) and depth > count:  # nothing is built that would take forever
        raise ValueError(
            f"lacks layers: it has {count} tensors, and its configuration a depth of {depth}"
        )
    return arguments


def _check_tensors(model: Model, tensors: dict[str, Tensor]) -> None:
    """Names, shapes and types are those of the network."""
    wanted = model.state_dict()
    for what, names in (("lacks", wanted.keys() - tensors), ("has", tensors.keys() - wanted)):
        if names:
            raise ValueError(f"{what} {min(names)!r}, unlike the network of its configuration")
    for name, tensor in tensors.items():
        like = wanted[name]
        if not name.endswith("_extra_state") and tensor.shape != like.shape:
            raise ValueError(
                f"has {name!r} of shape {tuple(tensor.shape)}; its configuration has "
                f"{tuple(like.shape)}"
            )
        if tensor.is_floating_point() != like.is_floating_point():
            raise ValueError(f"has {name!r} of {tensor.dtype}; its configuration has {like.dtype}")
