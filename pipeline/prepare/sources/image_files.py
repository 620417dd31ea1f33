"""Encoded images, one file or byte string each, decoded when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.files import json_text
from pipeline.prepare.images.decode import decode, inspect_file
from pipeline.prepare.images.fit_to_square import Target
from pipeline.prepare.images.value_range import ImageSummary
from pipeline.prepare.labelled_images import ImageChunk


def plain_name(name: str | Path) -> str:
    """Return a name that can be printed and stored as UTF-8, with other bytes as escapes."""
    text = str(name).encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


class EncodedImages:
    """A reader of encoded images.

    Parameters
    ----------
    names
        Names of the images in messages.
    load
        Returns the files or the bytes of the images from one index to before another.
    target
        What every image becomes.
    skip
        Whether a bad image is skipped and listed instead of ending the preparation.
    identity
        What changes when the images do.
    """

    def __init__(
        self,
        names: Sequence[str],
        load: Callable[[int, int], Sequence[Path | bytes | None]],
        target: Target,
        *,
        skip: bool,
        identity: object,
    ) -> None:
        self.names, self.load, self.target, self.skip = names, load, target, skip
        self.shape: tuple[int, ...] = (len(names), target.channels, target.size, target.size)
        self.dtype: np.dtype = np.dtype(target.dtype)
        whole = [repr(target), skip, identity]
        self.identity = hashlib.sha256(json_text(whole).encode()).hexdigest()

    def read(self, start: int, stop: int) -> ImageChunk:
        """Decode some images."""
        images = np.zeros((stop - start, *self.shape[1:]), dtype=self.dtype)
        sizes = np.ones((stop - start, 2), dtype=np.int64)
        problems: dict[int, str] = {}
        for place, file in enumerate(self.load(start, stop)):
            try:
                if file is None:
                    raise ValueError("is missing: the row has no bytes")
                images[place], sizes[place] = decode(file, self.target)
            except ValueError as error:
                problems[start + place] = f"{self.names[start + place]}: {error}"
        if problems and not self.skip:
            raise UserError(*(f"{problem}: {_FIX}" for problem in list(problems.values())[:10]))
        good = [index - start for index in range(start, stop) if index not in problems]
        return ImageChunk(images, problems, sizes[good])

    def inspect(self, start: int, stop: int) -> Iterator[ImageSummary]:
        """Summarise some images."""
        return (inspect_file(file) for file in self.load(start, stop) if file is not None)


_FIX = "fix or remove it, or set on_bad_image: skip"
