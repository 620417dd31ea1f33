"""Choices for a whole data set, made once all its images were looked at, train and test alike.

Images of 8 bits without transparency need no choice, so a data set of such is read only once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from pipeline.common.documents import mapping, read_json
from pipeline.common.errors import UserError
from pipeline.common.files import json_text, replacing
from pipeline.common.progress import StepProgress
from pipeline.prepare.images.value_range import Look, bounds_of, is_ink, white_of
from pipeline.prepare.parts import Looked
from pipeline.prepare.reading import cores

__all__ = ["Survey"]

_STEP = 64  # images that are looked at in one go


class Survey:
    """Looks at all images when the first of them asks, and remembers it for a later attempt.

    Parameters
    ----------
    path
        Where its answers are kept.
    name
        Of the data set.
    value_range
        What is declared of all values, if anything is.
    """

    def __init__(self, path: Path, name: str, value_range: str | tuple[float, float]) -> None:
        self.path, self.name, self.lock = path, name, Lock()
        self.value_range = value_range
        self.parts: list[Looked] = []
        self.identity = ""
        self.found: dict[str, Any] = {}

    def bind(self, parts: Iterable[Looked]) -> None:
        """Take the images; from now on what is read depends on all of them."""
        self.parts = list(parts)
        known = json_text([images.identity for images in self.parts])
        self.identity = hashlib.sha256(known.encode()).hexdigest()
        for images in self.parts:
            images.identity = f"{images.identity} {self.identity}"

    def white(self) -> int:
        """Return the value that is white in integer images of more than 8 bits."""
        return white_of(self._ask("value_range")["largest"])

    def ground(self) -> str:
        """Return what lies behind transparent parts: white if most such images are black ink."""
        found = self._ask("background")
        return "white" if 2 * found["ink"] > found["transparent"] else "black"

    def count_rounded(self) -> None:
        """Count the images of floats that a rounding error takes outside 0 to 1."""
        self._ask("rounded")

    def facts(self) -> dict[str, Any]:
        """Return what was chosen and why, for the card; nothing where no image asked."""
        found = self.found or self._kept()
        facts: dict[str, Any] = {}
        if "value_range" in found.get("asked", ()):
            largest = found["largest"]
            facts["value_range"] = {"chosen": [0, white_of(largest)], "largest": largest}
        if "background" in found.get("asked", ()):
            images = {"transparent_images": found["transparent"], "of_black_ink": found["ink"]}
            facts["background"] = {"chosen": self.ground(), **images}
        if "rounded" in found.get("asked", ()):
            facts["clipped"] = {"images": found["rounded"], "outside_by": found["outside"]}
        return facts

    def _ask(self, what: str) -> dict[str, Any]:
        with self.lock:
            self.found = self.found or self._kept() or self._look()
            if what not in self.found["asked"]:
                self.found["asked"] = sorted({*self.found["asked"], what})
                with replacing(self.path) as file:
                    file.write(json_text([self.identity, self.found]).encode())
            return self.found

    def _kept(self) -> dict[str, Any]:
        try:
            identity, found = read_json(self.path, "remove it")
            found = mapping(found, str(self.path), "remove it")
        except (UserError, TypeError, ValueError):  # it is only a note: look again
            return {}
        # An earlier version may have left less.
        whole = found.keys() >= {"largest", "transparent", "ink", "rounded", "outside", "asked"}
        return found if whole and identity == self.identity else {}

    def _look(self) -> dict[str, Any]:
        bounds = [
            (images, start, min(start + _STEP, images.shape[0]))
            for images in self.parts
            for start in range(0, images.shape[0], _STEP)
        ]
        largest, seen, outside = 0, list[tuple[np.dtype, float]](), list[float]()
        total = sum(images.shape[0] for images in self.parts)
        progress = StepProgress(self.name, "looking at", total)

        def some(bound: tuple[Looked, int, int]) -> list[Look]:
            images, start, stop = bound
            looks = list(images.look(start, stop))
            progress.add(stop - start)
            return looks

        with ThreadPoolExecutor(cores(), thread_name_prefix="look") as workers:
            for looks in workers.map(some, bounds):
                largest = max([largest, *(one.largest for one in looks)])
                seen += [(one.dtype, one.visible) for one in looks if one.visible is not None]
                outside += [one.outside for one in looks if one.outside]
        white = white_of(largest)
        ink = [is_ink(most, bounds_of(dtype, self.value_range, white)) for dtype, most in seen]
        return {
            "largest": largest, "transparent": len(seen), "ink": sum(ink),
            "rounded": len(outside), "outside": max(outside, default=0), "asked": [],
        }  # fmt: skip
