"""Predict the classes of new images with one kept network or several, at every turn of them.

Every image is prepared as those that the network was trained on. A row has the predicted class and
its probability, the mean over the networks. The orbit of an image is its quarter turns, mirrored
too for networks of D_n: a row also has the share of all networks and turns with the same
prediction, and the lowest and highest probability of the class among them. With several networks,
such as the seeds of a cell, it has the number of networks that predict the class by themselves.
"""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
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
    import torch

    from gsa_core.models.network import Model

__all__ = ["main", "predictions"]

ARGUMENTS = {
    "model": {
        "metavar": "MODEL",
        "nargs": "+",
        "help": "a .safetensors file, such as those in data/confirm/DATASET/weights; or several, "
        "such as all seeds of a cell",
    },
    "folder": {"metavar": "FOLDER", "help": "a folder of images, or one image"},
    "--output": {
        "metavar": "FILE",
        "default": "predictions.csv",
        "help": "a .csv or .parquet file; predictions.csv unless said",
    },
    "--replace": {"action": "store_true", "help": "replace the file that is there already"},
    "--card": {
        "metavar": "FILE",
        "help": "the card of the data set that the network was trained on, where it is not "
        "data/prepare/DATASET/card.json",
    },
}
BATCH = 256  # images
FORMATS = (".csv", ".parquet")
INVARIANT = 1e-4  # differences of probability up to here are rounding
UNLIKE = 0.5  # standard deviations of a pixel by which the mean of new images is noticed
AGREE = "networks_agree"
MEANS = "means"  # of each image and channel, an attribute of a table
_COLUMNS = ["label", "class", "probability", "agreement", "lowest", "highest"]


def main(given: Namespace) -> None:
    """Write the predictions and say how many there are."""
    output = _output(Path(given.output), given.replace)
    paths = [Path(path) for path in given.model]
    models = [_model(path) for path in paths]
    card = _card_of_all(paths, None if given.card is None else Path(given.card), models)
    parts = list(predictions(models, card, Path(given.folder)))
    means = np.concatenate([part.attrs.pop(MEANS) for part in parts])
    table = pd.concat(parts, ignore_index=True)
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
    if changed := _unlike(means, card):
        print(
            f"warning: on the whole these images are unlike those of training: {changed}; the "
            "accuracies of the report need not hold for them"
        )
    print(_certainty(table[table["problem"].isna()], paths))


def _output(path: Path, replace: bool) -> Path:
    """Refuse what cannot be written before the images are read."""
    if path.suffix not in FORMATS:
        raise UserError(f"--output: got {str(path)!r}; accepts a file {' or '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UserError(f"--output: there is no folder {plain_name(path.parent)}; make it first")
    if path.exists() and not replace:
        raise UserError(
            f"{plain_name(path)}: is there already; name another --output, or add --replace"
        )
    return path


def _certainty(table: pd.DataFrame, paths: Sequence[Path]) -> str:
    """Say what the table shows about trust in the answers, and how to see more."""
    if (networks := len(paths)) > 1:
        same = int((table[AGREE] == networks).sum())
        every = "both" if networks == 2 else f"all {networks}"
        return (
            f"{every} networks agree on {same:,} of {len(table):,} images; look at the "
            f"others yourself (column `{AGREE}`)"
        )
    seeds = plain_name(re.sub(r"seed\d+(?=\.safetensors$)", "seed*", str(paths[0])))
    more = f"to see which answers depend on the training, give all seeds of the cell: {seeds}"
    if (table["highest"] - table["lowest"]).max() > INVARIANT:
        return f"`agreement`, `lowest` and `highest` are over the turns of an image; {more}"
    return (
        "every turn of an image has the same answer, as the network is invariant: `agreement`, "
        f"`lowest` and `highest` say nothing about how certain it is; {more}"
    )


def _unlike(means: np.ndarray, card: Mapping[str, Any]) -> str:
    """Say in which colours the new images are on the whole brighter or darker than in training.

    It finds another microscope, stain or exposure, not every difference that matters.
    """
    names = ("red", "green", "blue") if len(card["mean"]) == 3 else ("pixel",) * len(card["mean"])
    return ", ".join(
        f"mean {name} value {now:.2f}, there {was:.2f}"
        for name, now, was, spread in zip(
            names, means.mean(0).tolist(), card["mean"], card["std"], strict=True
        )
        if abs(now - was) > UNLIKE * spread
    )


def predictions(
    models: Sequence[Model], card: Mapping[str, Any], folder: Path
) -> Iterator[pd.DataFrame]:
    """Yield one row an image, in the order of their names, a batch at a time.

    The orbit has 4 or 8 elements, so a prediction costs as many forward passes of each network.
    Columns: ``file``, ``label`` (a number), ``class`` (its name), ``probability``, ``agreement``
    (share of networks and turns with the same label), ``lowest`` and ``highest`` (probability of
    the label among them), ``networks_agree`` (networks with the same label, if there are several),
    ``problem`` (why an image has no prediction; else null). Attribute ``means``: the mean of each
    image that could be read, by channel, shape (images, channels).
    """
    from pipeline.training.inference import to_pixels

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
        pixels = to_pixels(chunk.images[good])
        rows = _predicted(models, pixels, classes).set_index(pd.Index(good))
        whole = {name: "Int64" for name in ("label", AGREE) if name in rows}
        rows = rows.reindex(range(stop - start)).astype(whole)
        rows.insert(0, "file", names[start:stop])
        rows["problem"] = [chunk.problems.get(at) for at in range(start, stop)]
        rows.attrs[MEANS] = pixels.mean((2, 3)).numpy()
        yield rows


def _predicted(models: Sequence[Model], pixels: torch.Tensor, classes: list[str]) -> pd.DataFrame:
    """One row a prepared image, without its name."""
    columns = [*_COLUMNS, AGREE] if len(models) > 1 else _COLUMNS
    if not len(pixels):
        return pd.DataFrame(columns=columns)
    import torch

    from gsa_core import act_on_image, point_group
    from pipeline.training.inference import logits_of

    mirrored = any(str(model.config["group"]).startswith("D") for model in models)
    orbit = point_group("D4" if mirrored else "C4")
    turned = [act_on_image(orbit, element, pixels) for element in range(orbit.order)]
    # (networks, turns, images, classes)
    chances = torch.stack(
        [torch.stack([logits_of(model, one).softmax(1) for one in turned]) for model in models]
    )
    mean = chances[:, 0].mean(0)
    labels = mean.argmax(1)
    same = chances.argmax(3) == labels
    of_label = chances.gather(3, labels.expand(*chances.shape[:2], -1)[..., None])[..., 0]
    values = (
        labels.numpy(),
        [classes[label] for label in labels.tolist()],
        mean.amax(1).numpy(),
        same.double().mean((0, 1)).numpy(),
        of_label.amin((0, 1)).numpy(),
        of_label.amax((0, 1)).numpy(),
        same[:, 0].sum(0).numpy(),
    )
    return pd.DataFrame(dict(zip(columns, values, strict=False)))


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

    if not path.exists():
        raise UserError(
            f"{plain_name(path)}: is not there; `make study` writes networks to "
            "data/confirm/DATASET/weights"
        )
    if path.is_dir():
        raise UserError(
            f"{plain_name(path)}: is a folder; first come networks, .safetensors files, and the "
            "folder of images last"
        )
    try:
        return load(path)
    except OSError as error:
        raise UserError(f"{plain_name(path)}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(str(error)) from None


def _card_of_all(
    paths: Sequence[Path], named: Path | None, models: Sequence[Model]
) -> Mapping[str, Any]:
    """The card of the data set that all networks were trained on."""
    cards = [_card(path, named, model) for path, model in zip(paths, models, strict=True)]
    for path, card in zip(paths, cards, strict=True):
        if card != cards[0]:
            raise UserError(
                f"{plain_name(path)}: was trained on other data than {plain_name(paths[0])}; name "
                "networks of one data set"
            )
    return cards[0]


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
