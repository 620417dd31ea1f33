"""The configuration of a network, and the file that it is written into.

The file is safetensors, its weights with the arguments of `build_model`; `gsa_core.load` reads it.
It is written aside and renamed, so that a reader finds all of it or the one before, and the same
network gives the same bytes.
"""

from __future__ import annotations

import copy
import errno
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import nn

from gsa_core.common.saved_properties import check_identities

__all__ = ["FORMAT", "KEY", "VERSION", "SavedNetwork", "outline", "to_bytes"]

VERSION = "0.1.0"  # of this package, as in pyproject.toml
FORMAT = 1
# The one key of the metadata: several are written in an order that changes with the process.
KEY = "gsa_core"

Outline = dict[str, tuple[int, ...] | bytes]


class SavedNetwork(nn.Module):
    """A network that knows its arguments of `build_model` and saves itself."""

    _built: tuple[dict[str, Any], Outline] | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The arguments of `build_model` that give this network, as JSON values."""
        if self._built is None:
            raise ValueError(
                f"config: got none with this {type(self).__name__}, which was not built by "
                "build_model; accepts a network of build_model"
            )
        return copy.deepcopy(self._built[0])

    def set_config(self, config: dict[str, Any]) -> None:
        """Remember the arguments that built this network, and what it was then."""
        self._built = (config, outline(self))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and configuration into a safetensors file, for `gsa_core.load`.

        Raises
        ------
        ValueError
            The network is not of `build_model`, or its layers were exchanged since.
        OSError
            The path is a folder, is in none, or cannot be written.
        """
        content, path = to_bytes(self), Path(path)
        _check_place(path)
        try:
            handle, aside = tempfile.mkstemp(
                dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
            )
        except OSError as error:
            error.filename = os.fspath(path)  # not that of a file that nobody asked for
            raise
        try:
            with open(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(aside, 0o666 & ~_umask())
            os.replace(aside, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(aside)
            raise

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any
    ) -> None:
        check_identities(self, state_dict, prefix)  # of all layers before any of them is loaded
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def outline(model: nn.Module) -> Outline:
    """The shape of every tensor of a state dict, and the identity of every layer."""
    return {
        name: bytes(tensor.tolist()) if name.endswith("_extra_state") else tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
    }


def to_bytes(model: nn.Module) -> bytes:
    """The content of the file of a network of `build_model`."""
    import safetensors.torch  # by those who save alone

    if not isinstance(model, SavedNetwork):
        raise TypeError(f"model: got a {type(model).__name__}; accepts a network of build_model")
    config, state = model.config, model.state_dict()
    assert model._built is not None
    changed = [name for name, _ in model._built[1].items() ^ outline(model).items()]
    if changed:
        raise ValueError(
            f"model: got a network whose {min(changed)!r} is not what its config builds; accepts a "
            "network as build_model made it (use torch.save for others)"
        )
    if any(tensor.is_meta for tensor in state.values()):
        raise ValueError(
            "model: got a network on the device 'meta', which has no values; accepts one on any "
            "other device"
        )
    about = {"format": FORMAT, "version": VERSION, "arguments": config}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return safetensors.torch.save(tensors, {KEY: json.dumps(about, sort_keys=True)})


def _check_place(path: Path) -> None:
    """A path at which a file can be written: no folder, and in one that exists."""
    if path.is_dir():
        raise IsADirectoryError(
            errno.EISDIR, "path: got a folder; accepts the name of a file in it", os.fspath(path)
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT,
            "path: got a file in a folder that does not exist; accepts one in a folder that does, "
            "so make it first",
            os.fspath(path),
        )


def _umask() -> int:
    """Of this process; there is no way to read it without setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
