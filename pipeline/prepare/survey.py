"""Choose value range and background for a whole data set, after a pass over all its images.

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
from pipeline.prepare.images.value_range import ImageSummary, is_black, value_bounds, white_level
from pipeline.prepare.labelled_images import InspectableReader
from pipeline.prepare.reading import cores

_STEP = 64  # images that a thread inspects at once


class Survey:
    """Inspect all images when the first of them needs a choice; the result is kept in a file.

    Parameters
    ----------
    path
        The file that keeps the result.
    name
        Of the data set.
    value_range
        The declared value range, or ``auto``.
    """

    def __init__(self, path: Path, name: str, value_range: str | tuple[float, float]) -> None:
        self.path, self.name, self.lock = path, name, Lock()
        self.value_range = value_range
        self.readers: list[InspectableReader] = []
        self.identity = ""
        self.found: dict[str, Any] = {}

    def bind(self, readers: Iterable[InspectableReader]) -> None:
        """Set the images; the identity of each now depends on all of them."""
        self.readers = list(readers)
        known = json_text([images.identity for images in self.readers])
        self.identity = hashlib.sha256(known.encode()).hexdigest()
        for images in self.readers:
            images.identity = f"{images.identity} {self.identity}"

    def white_level(self) -> int:
        """Return the white value of integer images of more than 8 bits."""
        return white_level(self._need("value_range")["largest"])

    def background(self) -> str:
        """Return the background of transparent images: white if most of them show black alone."""
        found = self._need("background")
        return "white" if 2 * found["ink"] > found["transparent"] else "black"

    def count_rounded(self) -> None:
        """Count the images of floats that a rounding error takes outside 0 to 1."""
        self._need("rounded")

    def facts(self) -> dict[str, Any]:
        """Return the choices and their reasons, for the card; empty where none was needed."""
        found = self.found or self._load()
        facts: dict[str, Any] = {}
        if "value_range" in found.get("asked", ()):
            largest = found["largest"]
            facts["value_range"] = {"chosen": [0, white_level(largest)], "largest": largest}
        if "background" in found.get("asked", ()):
            images = {"transparent_images": found["transparent"], "of_black_ink": found["ink"]}
            facts["background"] = {"chosen": self.background(), **images}
        if "rounded" in found.get("asked", ()):
            facts["clipped"] = {"images": found["rounded"], "outside_by": found["outside"]}
        return facts

    def _need(self, what: str) -> dict[str, Any]:
        with self.lock:
            self.found = self.found or self._load() or self._inspect_all()
            if what not in self.found["asked"]:
                self.found["asked"] = sorted({*self.found["asked"], what})
                with replacing(self.path) as file:
                    file.write(json_text([self.identity, self.found]).encode())
            return self.found

    def _load(self) -> dict[str, Any]:
        try:
            identity, found = read_json(self.path, "remove it")
            found = mapping(found, str(self.path), "remove it")
        except (UserError, TypeError, ValueError):  # of no use: inspect again
            return {}
        # An earlier version may have written fewer keys.
        whole = found.keys() >= {"largest", "transparent", "ink", "rounded", "outside", "asked"}
        return found if whole and identity == self.identity else {}

    def _inspect_all(self) -> dict[str, Any]:
        bounds = [
            (images, start, min(start + _STEP, images.shape[0]))
            for images in self.readers
            for start in range(0, images.shape[0], _STEP)
        ]
        largest, seen, outside = 0, list[tuple[np.dtype, float]](), list[float]()
        progress = StepProgress(
            self.name, "inspecting", sum(images.shape[0] for images in self.readers)
        )

        def some(bound: tuple[InspectableReader, int, int]) -> list[ImageSummary]:
            images, start, stop = bound
            summaries = list(images.inspect(start, stop))
            progress.add(stop - start)
            return summaries

        with ThreadPoolExecutor(cores(), thread_name_prefix="look") as workers:
            for summaries in workers.map(some, bounds):
                largest = max([largest, *(one.largest for one in summaries)])
                seen += [(one.dtype, one.visible) for one in summaries if one.visible is not None]
                outside += [one.outside for one in summaries if one.outside]
        white = white_level(largest)
        ink = [is_black(most, value_bounds(dtype, self.value_range, white)) for dtype, most in seen]
        return {
            "largest": largest, "transparent": len(seen), "ink": sum(ink),
            "rounded": len(outside), "outside": max(outside, default=0), "asked": [],
        }  # fmt: skip
