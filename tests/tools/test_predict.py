"""Predictions for new images, which become what the images of training became."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from image_bytes import png16
from images import CLASSES, fill, own, picture
from PIL import Image

from gsa_core import build_model
from pipeline.common.commands import parse
from pipeline.common.errors import UserError
from pipeline.dataset import load_dataset
from pipeline.dataset.store import SPLITS
from pipeline.prepare.images.as_prepared import target_of
from pipeline.prepare.images.decode import decode
from pipeline.prepare.stage import prepare_all
from pipeline.tools import predict


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return fill(tmp_path / "raw", 12)


def prepare(settings: Any) -> dict[str, Any]:
    prepare_all(settings, Path("data/prepare"))
    return json.loads(Path("data/prepare/mine/card.json").read_text())


def network(group: str = "C4", seed: int = 3, **options: Any) -> Path:
    """A saved network with random weights, where confirm keeps those of the data set `mine`."""
    torch.manual_seed(seed)
    model = build_model(
        model="gsa", group=group, positional="relative", depth=1, channels=4, num_heads=1,
        in_channels=3, num_classes=2, image_size=8, tokens="patch", patch_size=2, **options,
    )  # fmt: skip
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    path = Path(f"data/confirm/mine/weights/network-seed{seed}.safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return path


def run(model: Path | list[Path], images: Path | str, *options: str) -> pd.DataFrame:
    models = model if isinstance(model, list) else [model]
    given = parse(["predict", *map(str, models), str(images), *options])
    predict.main(given)
    if Path(given.output).suffix == ".csv":
        return pd.read_csv(given.output)
    return pd.read_parquet(given.output)


def grey16(path: Path) -> None:
    """Images of 12 bits, of which one is bright."""
    for number, file in enumerate(sorted(path.rglob("*.png"))):
        values = picture(number, channels=1).astype(np.uint16) * (15 if number == 3 else 4)
        file.write_bytes(png16(values[:, :, None]))


def transparent(path: Path) -> None:
    """Black ink on nothing."""
    for number, file in enumerate(sorted(path.rglob("*.png"))):
        image = np.zeros((12, 10, 4), np.uint8)
        image[:, :, 3] = picture(number, channels=1)
        Image.fromarray(image).save(file)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"fit": "resize"}, None),
        ({"fit": "crop", "channels": 1, "dtype": "float32"}, None),
        ({"fit": "pad", "pad_value": 9}, None),
        ({"fit": "pad", "size": (6, 8), "pad_value": "edge"}, None),
        ({"fit": "resize", "value_range": (0, 255), "dtype": "float32"}, None),
        ({"fit": "resize", "channels": 1, "dtype": "float32"}, grey16),
        ({"fit": "resize", "channels": 1}, transparent),
    ],
)
def test_images_become_what_prepare_made_of_them(options: Any, change: Any, folder: Path) -> None:
    if change is not None:
        change(folder)
    target = target_of(prepare(own(folder, **options)))
    dataset = load_dataset("data/prepare/mine", SPLITS)
    splits = (dataset.train, dataset.validation, dataset.test)
    prepared = {image.tobytes() for split in splits if split for image in split.images}
    assert {decode(path, target)[0].tobytes() for path in folder.rglob("*.png")} == prepared


@pytest.mark.parametrize(("change", "what"), [(grey16, "8 bits"), (transparent, "transparent")])
def test_an_image_of_another_kind_is_no_guess(change: Any, what: str, folder: Path) -> None:
    prepare(own(folder))
    change(folder)
    with pytest.raises(UserError, match=rf"0 of 24 images predicted.*{what}"):
        run(network(), folder)
    table = pd.read_csv("predictions.csv")
    assert table["label"].isna().all() and table["problem"].str.contains(what).all()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_equivariant_network_is_sure_of_the_whole_orbit(
    suffix: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = prepare(own(folder))
    path = network()
    table = run(path, folder, "--output", f"table.{suffix}")
    assert list(table["file"]) == [str(file) for file in sorted(folder.rglob("*.png"))]
    assert set(table["class"]) <= set(CLASSES) and table["problem"].isna().all()
    assert [CLASSES[label] for label in table["label"]] == list(table["class"])
    assert (table["agreement"] == 1).all()
    assert np.allclose(table["lowest"], table["highest"], atol=1e-5)
    assert "networks_agree" not in table
    said = capsys.readouterr().out.splitlines()[-1]
    assert "say nothing about how certain it is; to see which answers depend" in said
    assert said.endswith(": data/confirm/mine/weights/network-seed*.safetensors")
    first = decode(Path(table["file"][0]), target_of(card))[0]
    from gsa_core import load

    with torch.no_grad():
        chances = load(path)(torch.from_numpy(first)[None] / 255).softmax(1)[0]
    assert table["probability"][0] == pytest.approx(chances.max().item(), abs=1e-6)


def test_several_networks_give_their_mean_and_say_how_many_agree(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(own(folder))
    paths = [network("C4", seed) for seed in range(3, 8)] + [network("D4", 8)]
    alone = [run(path, folder, "--output", f"{path.stem}.csv") for path in paths]
    capsys.readouterr()
    table = run(paths, folder)
    said = capsys.readouterr().out.splitlines()[-1]
    # Of two classes: the probability of the first by each network.
    first = np.array([np.where(a["label"] == 0, a["probability"], 1 - a["probability"])
                      for a in alone])  # fmt: skip
    mean = first.mean(0)
    assert (table["label"] == (mean < 0.5)).all()
    assert np.allclose(table["probability"], np.maximum(mean, 1 - mean), atol=1e-5)
    votes = np.sum([a["label"] == table["label"] for a in alone], axis=0)
    assert (table["networks_agree"] == votes).all() and votes.min() < 6
    assert f"all 6 networks agree on {(votes == 6).sum()} of 24 images" in said
    assert (table["lowest"] <= table["probability"]).all() and table["highest"].max() <= 1
    assert list(table) == ["file", *predict._COLUMNS, "networks_agree", "problem"]


def test_networks_of_other_data_are_not_averaged(folder: Path) -> None:
    card, path = prepare(own(folder)), network()
    other = Path("data/confirm/other/weights/network.safetensors")
    other.parent.mkdir(parents=True)
    other.write_bytes(path.read_bytes())
    Path("data/prepare/other").mkdir()
    Path("data/prepare/other/card.json").write_text(json.dumps(card | {"name": "other"}))
    with pytest.raises(UserError, match="was trained on other data than"):
        run([path, other], folder)


def test_nothing_is_replaced_or_made_without_being_asked(folder: Path) -> None:
    prepare(own(folder))
    path = network()
    with pytest.raises(UserError, match=r"--output: there is no folder no/such; make it first"):
        run(path, folder, "--output", "no/such/table.csv")
    assert not Path("no").exists()
    Path("predictions.csv").write_text("mine")
    with pytest.raises(UserError, match=r"predictions\.csv: is there already; name another"):
        run(path, folder)
    assert Path("predictions.csv").read_text() == "mine"
    assert len(run(path, folder, "--replace")) == 24


def test_another_network_is_not(folder: Path) -> None:
    prepare(own(folder))
    table = run(network("C1"), folder)
    assert (table["highest"] - table["lowest"]).max() > 1e-3
    assert (table["lowest"] <= table["probability"]).all()
    assert (table["probability"] <= table["highest"]).all()


def test_a_bad_image_is_a_row(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(own(folder))
    (folder / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "cat" / "notes.txt").write_text("no image")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "000.png").write_bytes((folder / "cat" / "000.png").read_bytes())
    table = run(network(), folder)
    assert len(table) == 25 and table["problem"].notna().sum() == 1
    said = capsys.readouterr().out
    assert "24 of 25 images predicted, 1 not" in said and "broken.png" in said


def test_much_darker_images_are_noticed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(own(folder, size=8))
    model = network()
    run(model, folder)
    assert "warning" not in capsys.readouterr().out
    for file in folder.rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(file)) // 8).save(file)
    run(model, folder, "--replace")
    assert "unlike those of training: mean red value 0.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weights.safetensors", "raw"], "weights.safetensors: is not there; `make study`"),
        (["raw", "weights.safetensors"], "raw: is a folder; first come networks"),
        (["MODEL", "nowhere"], "nowhere: is neither a folder nor an image"),
        (["MODEL", "empty"], "empty: holds no image"),
        (["MODEL", "raw", "--output", "x.xlsx"], "--output: got 'x.xlsx'"),
        (["MODEL", "raw", "--card", "no.json"], "no.json: is not there; name the card"),
        (["MODEL", "raw", "--card", "other.json"], "takes [3, 8, 8] and 2"),
        (["MODEL", "raw", "--card", "empty.json"], "is no card of a prepared data set"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: list[str], message: str, folder: Path) -> None:
    card = prepare(own(folder))
    Path("empty").mkdir()
    Path("empty.json").write_text("{}")
    Path("other.json").write_text(json.dumps(card | {"classes": 3}))
    model = str(network())
    given: Namespace = parse(["predict", *(model if a == "MODEL" else a for a in arguments)])
    with pytest.raises(UserError) as error:
        predict.main(given)
    assert message in str(error.value)
    assert not Path("predictions.csv").exists()
