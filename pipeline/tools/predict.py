"""Predict the classes of new images with a kept network, at every turn of them.

Every image is prepared as those that the network was trained on. A row has the predicted class and
its probability, the share of the image's orbit (its quarter turns; mirrored too for networks of
D_n) with the same prediction, and the lowest and highest probability of the class on the orbit.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.common.documents import mapping, read_json
from pipeline.common.errors import UserError
from pipeline.common.files import write_bytes
from pipeline.prepare.images.as_prepared import target_of
from pipeline.prepare.images.decode import SUFFIXES
from pipeline.prepare.sources.folder_tree import is_system_file
from pipeline.prepare.sources.image_files import EncodedImages, plain_name

if TYPE_CHECKING:
    from gsa_core.models.network import Model

__all__ = ["main", "predictions"]

ARGUMENTS = {
    "model": {
        "metavar": "MODEL",
        "help": "a .safetensors file, such as those in data/confirm/DATASET/weights",
    },
    "folder": {"metavar": "FOLDER", "help": "a folder of images, or one image"},
    "--output": {
        "metavar": "FILE",
        "default": "predictions.csv",
        "help": "a .csv or .parquet file; predictions.csv unless said",
    },
    "--card": {
        "metavar": "FILE",
        "help": "the card of the data set that the network was trained on, where it is not "
        "data/prepare/DATASET/card.json",
    },
}
BATCH = 256  # images
FORMATS = (".csv", ".parquet")
_COLUMNS = ["label", "class", "probability", "agreement", "lowest", "highest"]


def main(given: Namespace) -> None:
    """Write the predictions and say how many there are."""
    output = Path(given.output)
    if output.suffix not in FORMATS:
        raise UserError(f"--output: got {given.output!r}; accepts a file {' or '.join(FORMATS)}")
    model = _model(Path(given.model))
    card = _card(Path(given.model), None if given.card is None else Path(given.card), model)
    table = pd.concat(list(predictions(model, card, Path(given.folder))), ignore_index=True)
    write_bytes(output, _content(table, output.suffix))
    bad = table["problem"].dropna()
    if len(bad) == len(table):
        raise UserError(
            f"0 of {len(table):,} images predicted; the column `problem` of {output} says why, "
            f"of the first: {bad.iloc[0]}"
        )
    for problem in bad.head(10):
        print(f"not predicted: {problem}")
    rest = f", {len(bad)} not (column `problem` says why)" if len(bad) else ""
    print(f"{output}: {len(table) - len(bad)} of {len(table)} images predicted{rest}")


def predictions(model: Model, card: Mapping[str, Any], folder: Path) -> Iterator[pd.DataFrame]:
    """Yield one row an image, in the order of their names, a batch at a time.

    The orbit has 4 or 8 elements, so a prediction costs as many forward passes.
    Columns: ``file``, ``label`` (a number), ``class`` (its name), ``probability``, ``agreement``
    (share of the orbit with the same label), ``lowest`` and ``highest`` (probability of the label
    on the orbit), ``problem`` (why an image has no prediction; else null).
    """
    paths = list(_images(folder))
    if not paths:
        raise UserError(f"{plain_name(folder)}: holds no image ({', '.join(SUFFIXES)})")
    names = [plain_name(path) for path in paths]
    reader = EncodedImages(names, lambda a, b: paths[a:b], target_of(card), skip=True, identity="")
    classes = card["class_names"] or [str(label) for label in range(card["classes"])]
    for start in range(0, len(paths), BATCH):
        stop = min(start + BATCH, len(paths))
        chunk = reader.read(start, stop)
        good = [at - start for at in range(start, stop) if at not in chunk.problems]
        rows = _predicted(model, chunk.images[good], classes).set_index(pd.Index(good))
        rows = rows.reindex(range(stop - start)).astype({"label": "Int64"})
        rows.insert(0, "file", names[start:stop])
        rows["problem"] = [chunk.problems.get(at) for at in range(start, stop)]
        yield rows


def _predicted(model: Model, images: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """One row a prepared image, without its name."""
    if not len(images):
        return pd.DataFrame(columns=_COLUMNS)
    import torch

    from gsa_core import act_on_image, point_group
    from pipeline.training.inference import logits_of, to_pixels

    orbit = point_group("D4" if str(model.config["group"]).startswith("D") else "C4")
    pixels = to_pixels(images)
    turned = (act_on_image(orbit, element, pixels) for element in range(orbit.order))
    chances = torch.stack([logits_of(model, images).softmax(1) for images in turned])
    labels = chances[0].argmax(1)
    of_label = chances.gather(2, labels.expand(len(chances), -1)[..., None])[..., 0].numpy()
    values = (
        labels.numpy(),
        [classes[label] for label in labels.tolist()],
        of_label[0],
        (chances.argmax(2) == labels).double().mean(0).numpy(),
        of_label.min(0),
        of_label.max(0),
    )
    return pd.DataFrame(dict(zip(_COLUMNS, values, strict=True)))


def _images(folder: Path) -> Iterator[Path]:
    """Image files below a folder, by name; hidden files and folders are left out."""
    if folder.is_file():
        yield folder
        return
    if not folder.is_dir():
        raise UserError(f"{plain_name(folder)}: is neither a folder nor an image")
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_system_file(name))
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not is_system_file(name):
                yield Path(place, name)


def _model(path: Path) -> Model:
    from gsa_core import load

    try:
        return load(path)
    except OSError as error:
        raise UserError(f"{plain_name(path)}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(str(error)) from None


def _card(path: Path, named: Path | None, model: Model) -> Mapping[str, Any]:
    """The card of the data set that a network was trained on, if it fits the network."""
    dataset = path.resolve().parent.parent.name
    place = named or Path("data/prepare") / dataset / "card.json"
    again = "name the card of the data set that the network was trained on: --card FILE"
    if not place.exists():
        raise UserError(f"{plain_name(place)}: is not there; {again}")
    card = mapping(read_json(place, again), str(place), again)
    config = model.config
    side = config["image_size"]
    sides = [side, side] if isinstance(side, int) else list(side)
    wanted = [config["in_channels"], *sides, config["num_classes"]]
    try:
        found = [*card["image_shape"], card["classes"]]
    except (KeyError, TypeError):
        raise UserError(
            f"{plain_name(place)}: is no card of a prepared data set; {again}"
        ) from None
    if wanted != found:
        raise UserError(
            f"{plain_name(place)}: has images of channels x height x width {found[:-1]} and "
            f"{found[-1]} classes, and the network takes {wanted[:-1]} and {wanted[-1]}; {again}"
        )
    return card


def _content(table: pd.DataFrame, suffix: str) -> bytes:
    buffer = BytesIO()
    if suffix == ".csv":
        return table.to_csv(index=False).encode()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
