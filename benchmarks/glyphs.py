"""Print how many images of glyphs are drawn in a second, by size: python benchmarks/glyphs.py.

Processor time of one core, the median of several rounds.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

from pipeline.prepare.reading import read_chunk
from pipeline.prepare.sources import glyphs
from pipeline.study.datasets import SOURCES

COUNT, ROUNDS, SIDES = 4096, 7, (16, 28, 64)


def main() -> None:
    """Draw the same images several times in each size."""
    for side in SIDES:
        source = replace(SOURCES["glyphs-shape"], image_size=side, given=(("train", COUNT),))
        images = glyphs.read(source, seed=0)["train"].images
        seconds = []
        for _ in range(ROUNDS):
            begun = time.process_time()
            for start in range(0, COUNT, 1024):
                read_chunk(images, start, start + 1024)
            seconds.append(time.process_time() - begun)
        print(f"{side}x{side}: {COUNT / statistics.median(seconds):,.0f} images/s")


if __name__ == "__main__":
    main()
