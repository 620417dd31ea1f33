"""Stage 1: raw sources to fixed, disjoint splits with a card, in data/prepare/."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from pipeline.datasets.card import describe_files, describe_splits, describe_versions
from pipeline.datasets.contact_sheet import contact_sheet
from pipeline.datasets.parts import Images, Parts, check_parts
from pipeline.datasets.registry import SOURCES, Source
from pipeline.datasets.splitting import make_splits
from pipeline.datasets.store import SPLITS, load_dataset, split_files
from pipeline.datasets.turning import turn
from pipeline.errors import main as run
from pipeline.files import replacing_folder, write_array, write_bytes, write_json
from pipeline.params import Prepare, load_params

__all__ = ["main", "prepare_all", "prepare_dataset"]

OUTPUT = Path("data/prepare")

# Independent streams of one seed: a change to one draw leaves the other as it was.
_SPLITS, _ANGLES = 0, 1
_TURNING = (
    "test_turned: each test image about its centre by its own uniform angle, anticlockwise, "
    "bilinear; what leaves the square is cut off, what enters it is zero"
)


def main() -> None:
    """Prepare every data set of the study."""
    prepare_all(load_params().prepare, OUTPUT)


def prepare_all(settings: Prepare, output: Path) -> None:
    """Write one folder a data set; the output appears when all of them are complete."""
    with replacing_folder(output) as aside:
        for name in settings.datasets:
            prepare_dataset(SOURCES[name], settings, aside / name)
    for name in settings.datasets:
        counts = load_dataset(output / name, SPLITS, verify=True).card["counts"]
        words = ", ".join(
            f"{counts[split]['total']:,} {split}" for split in ("train", "validation", "test")
        )
        print(f"prepare: {name}: {words} images, checked, in {output / name}", flush=True)


def prepare_dataset(source: Source, settings: Prepare, folder: Path) -> None:
    """Read, check, split and turn one data set, and write it with its card."""
    _say(source, f"reading {source.title}")
    parts: Parts = importlib.import_module(source.module).read()
    check_parts(parts, source)
    _say(source, f"splitting {sum(map(len, parts.values())):,} images")
    splits = make_splits(
        parts,
        _generator(settings.seed, _SPLITS),
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
    )
    _say(source, f"turning {len(splits['test']):,} test images")
    degrees = _generator(settings.seed, _ANGLES).uniform(0, 360, len(splits["test"]))
    turned = turn(splits["test"].images, degrees)  # from upright images: interpolated only once
    shown = {name: _as_the_source_has_it(split) for name, split in splits.items()}
    arrays = {"test_turned_images.npy": turned, "test_angles.npy": degrees}
    for name, split in shown.items():
        arrays |= dict(zip(split_files(name), (split.images, split.labels), strict=True))
    for file, array in arrays.items():
        write_array(folder / file, array)
    upright = splits["test"]
    title = f"{source.name}: test images upright and, below each, the same turned anticlockwise"
    sheet = contact_sheet(title, upright.images, turned, upright.labels, degrees, source.classes)
    write_bytes(folder / "samples.png", sheet)
    card = {
        **describe_splits(source, shown),
        "given_parts": {name: len(part) for name, part in parts.items()},
        "seed": settings.seed,
        "validation_fraction": settings.validation_fraction,
        "test_fraction": settings.test_fraction,
        "turning": _TURNING,
        "files": describe_files(folder, [*arrays, "samples.png"]),
        "versions": describe_versions(),
    }
    write_json(folder / "card.json", card)


def _as_the_source_has_it(split: Images) -> Images:
    if split.degrees is None:
        return split
    return Images(turn(split.images, split.degrees), split.labels, split.degrees)


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))


def _say(source: Source, text: str) -> None:
    print(f"prepare: {source.name}: {text}", flush=True)


if __name__ == "__main__":
    run(main)
