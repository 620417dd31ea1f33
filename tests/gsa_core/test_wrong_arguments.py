"""Every public constructor and function names what it was given wrong, and what it accepts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gsa_core as g

C4, C8 = g.cyclic_group(4), g.cyclic_group(8)
zeros = torch.zeros


def lift(*arguments: Any, **options: Any) -> nn.Module:
    return g.LiftingSelfAttention(*(arguments or (C4, 3, 8, 2)), **options)


def attend(*arguments: Any, **options: Any) -> nn.Module:
    return g.GroupSelfAttention(*(arguments or (C4, 3, 8, 2)), **options)


def network(**options: Any) -> nn.Module:
    return g.build_model(**{"image_size": 8, **options})


# Argument that is named, and the call.
WRONG = {
    "rotations 0": lambda: g.PointGroup(0),
    "rotations half": lambda: g.PointGroup(2.5),
    "rotations text": lambda: g.dihedral_group("4"),
    "group number": lambda: g.point_group(4),
    "group name": lambda: g.point_group("SO2"),
    "group of lifting attention": lambda: lift("C4", 3, 8, 2),
    "group of a convolution": lambda: g.LiftingConv2d("C4", 1, 2, 3),
    "group of a linear map": lambda: g.GroupLinear(None, 3, 2),
    "group symmetrized by name": lambda: g.Symmetrized(nn.Identity(), "C4"),
    "group off the grid": lambda: g.Symmetrized(nn.Identity(), C8),
    "group of a plain transformer": lambda: network(model="vit", group="C4"),
    "in_channels 0": lambda: lift(C4, 0, 8, 2),
    "in_channels half": lambda: attend(C4, 2.5, 8, 2),
    "in_channels of a convolution": lambda: g.LiftingConv2d(C4, 0, 2, 3),
    "in_channels of a network": lambda: network(in_channels=0),
    "out_channels 0": lambda: lift(C4, 3, 0, 2),
    "out_channels of a convolution": lambda: g.GroupConv2d(C4, 1, -2, 3),
    "in_features 0": lambda: g.GroupLinear(C4, 0, 2),
    "num_heads 0": lambda: attend(C4, 3, 8, 0),
    "num_heads half": lambda: attend(C4, 3, 8, 1.5),
    "num_heads of a network": lambda: network(num_heads=0),
    "head_dim 0": lambda: attend(head_dim=0),
    "window even": lambda: attend(window=4),
    "window text": lambda: attend(window="3"),
    "positional": lambda: attend(positional="learned"),
    "positional rotary with narrow heads": lambda: attend(C4, 3, 2, 2, positional="rotary"),
    "image_size missing": lambda: attend(positional="absolute"),
    "image_size 0": lambda: attend(image_size=0),
    "image_size of one": lambda: attend(image_size=(3,)),
    "image_size text": lambda: network(image_size="28"),
    "image_size of three": lambda: network(image_size=(8, 8, 8)),
    "image_size of a published network": lambda: network(model="published_rotmnist"),
    "encoding": lambda: attend(encoding="learned"),
    "encoding table without a size": lambda: attend(encoding="table"),
    "encoding table with C8": lambda: attend(C8, 3, 8, 2, encoding="table", window=3),
    "window_shape": lambda: attend(window_shape="ring"),
    "attention_dropout 1": lambda: attend(attention_dropout=1.0),
    "method": lambda: attend(method="slow"),
    "form": lambda: attend(form="both"),
    "form of lifting": lambda: attend(form="lifting"),
    "kernel_size even": lambda: g.LiftingConv2d(C4, 1, 2, 2),
    "kernel_size float": lambda: g.GroupConv2d(C4, 1, 2, 3.0),
    "patch_size 0": lambda: g.PatchEmbedding(C4, 1, 2, 0),
    "patch_size of a stem": lambda: g.Stem(C4, 1, 2, 3),
    "patch_size of no tiling": lambda: network(tokens="patch", patch_size=3, image_size=8),
    "channels of a stem": lambda: g.Stem(C4, 1, 0),
    "channels of a norm": lambda: g.ChannelNorm(0),
    "channels of a network": lambda: network(channels=0),
    "channels to be solved": lambda: g.solve_channels(5000, channels=3),
    "ratio 0": lambda: g.FeedForward(4, 0),
    "feedforward_ratio of a network": lambda: network(feedforward_ratio=-1),
    "dropout 2": lambda: g.Block(attend(C4, 4, 4, 2), 4, dropout=2),
    "reduction": lambda: g.GroupPool("sum"),
    "reduction of an orbit": lambda: network(model="symmetrized", reduction="sum"),
    "of": lambda: g.Symmetrized(nn.Identity(), C4, of="tokens"),
    "of features of none": lambda: g.Symmetrized(nn.Identity(), C4, of="features"),
    "of seconds": lambda: g.solve_channels(5000, of="seconds"),
    "model": lambda: network(model="gas"),
    "model of fixed width": lambda: g.solve_channels(5000, model="published_pcam"),
    "tokens": lambda: network(tokens="patches"),
    "num_classes -1": lambda: network(num_classes=-1),
    "depth 0": lambda: network(depth=0),
    "depth of a convolutional network": lambda: network(model="gcnn", depth=-1),
    "std 0": lambda: network(std=0.0),
    "mean nan": lambda: network(mean=float("nan")),
    "mean twice": lambda: network(mean=[0.1, 0.2]),
    "budget too small": lambda: g.solve_channels(5),
    "budget 0": lambda: g.solve_channels(0),
    "steps 0": lambda: g.full_turn(network().eval(), zeros(2, 1, 8, 8), steps=0),
    "positional of a convolutional network": lambda: network(model="gcnn", positional="relative"),
    "form of a convolutional network": lambda: network(model="gcnn", form="zzz"),
    "window of a convolutional network": lambda: network(model="gcnn", window=4),
    "dropout of a convolutional network": lambda: network(model="gcnn", dropout=0.0),
    "depth of stages": lambda: network(model="staged_gcnn", depth=1),
    "depth of a staged network": lambda: network(model="staged", depth=0),
    "tokens of a staged network": lambda: network(model="staged", tokens="patch"),
    "head_dropout of a transformer": lambda: network(head_dropout=1),
    "head_dropout of a convolutional network": lambda: network(model="gcnn", head_dropout=-0.1),
    "head_dropout of a published network": lambda: network(
        model="published_rotmnist", head_dropout=0.1
    ),
    "drop_path of a transformer": lambda: network(drop_path=1),
    "drop_path of a convolutional network": lambda: network(model="gcnn", drop_path=0.1),
    "head_dropout of a staged network": lambda: network(model="staged", head_dropout=1),
    "channels of a published network": lambda: network(model="published_rotmnist", channels=64),
    "depth of a published network": lambda: network(model="published_pcam", depth=12),
    "window_shape of a published network": lambda: network(
        model="published_rotmnist", window=3, window_shape="disc"
    ),
    "reduction of a transformer": lambda: network(reduction="max"),
    "patch_size of pixels": lambda: network(tokens="pixel", patch_size=2),
    "patch_size of a trunk": lambda: network(tokens="trunk", patch_size=4),
    "form of a lifting block alone": lambda: network(tokens="pixel", depth=1, form="joint"),
    "encoding of no positions": lambda: network(positional="none", encoding="continuous"),
    "encoding of rotary": lambda: attend(positional="rotary", encoding="table", window=3),
    "encoding of rotary with a size": lambda: lift(
        positional="rotary", encoding="continuous", image_size=9
    ),
    "encoding of radial": lambda: attend(positional="radial", encoding="table", window=3),
    "encoding of a network": lambda: network(positional="absolute", encoding="learned"),
    "window_shape without a window": lambda: attend(window_shape="disc"),
    "window_shape of a network": lambda: network(window_shape="soft_disc"),
    "image_size beside a window": lambda: attend(window=3, image_size=9),
    "image_size of no positions": lambda: lift(positional="none", image_size=9),
    "num_heads true": lambda: attend(C4, 3, 8, True),
    "in_channels true": lambda: network(in_channels=True),
    "image_size true": lambda: network(image_size=True),
    "image_size of truths": lambda: network(image_size=(True, 8)),
    "image_size of halves": lambda: network(image_size=(8.0, 8)),
    "window true": lambda: attend(window=True),
    "window numpy even": lambda: attend(window=np.int64(4)),
    "mean true": lambda: network(mean=True),
    "mean of truths": lambda: network(mean=np.array([True])),
    "mean text": lambda: network(mean="0.5"),
    "mean infinite": lambda: network(mean=float("inf")),
    "mean of three": lambda: network(in_channels=2, mean=np.zeros(3)),
    "mean of none": lambda: network(mean=[]),
    "std nan": lambda: network(std=[float("nan")]),
    "std negative": lambda: network(std=-1),
    "std of none in an array": lambda: network(std=np.array([0.0])),
    "dropout true": lambda: network(dropout=True),
    "dropout nan": lambda: network(dropout=float("nan")),
    "attention_dropout true": lambda: attend(attention_dropout=True),
    "attention_dropout text": lambda: attend(attention_dropout="half"),
    "attention_dropout nan": lambda: attend(attention_dropout=float("nan")),
    "feedforward_ratio infinite": lambda: network(feedforward_ratio=float("inf")),
    "bias text": lambda: g.GroupLinear(C4, 3, 2, bias="no"),
    "bias of a convolution": lambda: g.LiftingConv2d(C4, 1, 2, 3, bias=1),
    "mirrors text": lambda: g.PointGroup(4, mirrors="no"),
    "rotations true": lambda: g.PointGroup(True),
    "element true": lambda: g.act_on_image(C4, True, zeros(2, 2)),
    "positional list": lambda: attend(positional=["none"]),
    "reduction none": lambda: g.GroupPool(None),
    "channels text": lambda: network(channels="8"),
    "element 9": lambda: g.act_on_image(C4, 9, zeros(2, 2)),
    "element half": lambda: g.act_on_image(C4, 1.5, zeros(2, 2)),
    "element off the grid": lambda: g.act_on_image(C8, 1, zeros(2, 2)),
    "element of features": lambda: g.act_on_features(C4, 7, zeros(4, 2, 2)),
    "image of one axis": lambda: g.act_on_image(C4, 1, zeros(2)),
    "image for lifting attention": lambda: lift()(zeros(1, 2, 5, 5)),
    "image for a convolution": lambda: g.LiftingConv2d(C4, 1, 2, 3)(zeros(1, 1, 4, 5, 5)),
    "image for patches": lambda: g.PatchEmbedding(C4, 1, 2, 4)(zeros(1, 2, 12, 12)),
    "image for a stem": lambda: g.Stem(C4, 1, 2)(zeros(1, 2, 8, 8)),
    "image for a network": lambda: network()(zeros(1, 3, 8, 8)),
    "image without a batch": lambda: network()(zeros(1, 8, 8)),
    "image to turn": lambda: g.rotate_image(zeros(3, 3), 30),
    "image to pool": lambda: g.GlobalPool()(zeros(3)),
    "features of few frames": lambda: g.act_on_features(C4, 1, zeros(3, 2, 2)),
    "features without frames": lambda: g.act_on_features(C4, 1, zeros(2, 2)),
    "features for attention": lambda: attend()(zeros(1, 3, 3, 5, 5)),
    "features for a convolution": lambda: g.GroupConv2d(C4, 1, 2, 3)(zeros(1, 2, 4, 5, 5)),
    "features for a norm": lambda: g.ChannelNorm(4)(zeros(1, 3, 4, 2, 2)),
    "features to pool": lambda: g.SymmetricMaxPool2d()(zeros(1, 3, 4, 4)),
    "features for a block": lambda: g.Block(attend(C4, 4, 4, 2), 5)(zeros(1, 4, 4, 3, 3)),
    "tokens for a linear map": lambda: g.GroupLinear(C4, 3, 2)(zeros(2, 3, 3)),
    "logits of one image": lambda: g.invariance_error(zeros(1, 3), zeros(1, 3)),
    "moved logits": lambda: g.invariance_error(zeros(2, 3), zeros(2, 4)),
    "outside of a turn": lambda: g.rotate_image(zeros(1, 1, 3, 3), 90, "white"),
    "outside of a shift": lambda: g.shift_image(zeros(1, 3, 3), 1, 0, None),
    "rows half": lambda: g.shift_image(zeros(1, 3, 3), 1.5, 0),
    "std that is 0 in float32": lambda: network(std=1e-60),
    "std without a reciprocal in float32": lambda: network(std=[1e-40]),
    "std infinite in float32": lambda: network(std=1e39),
    "std that is 0 in float16": lambda: network(std=1e-9, dtype=torch.float16),
    "mean infinite in float32": lambda: network(mean=-1e39),
    "mean infinite in float16": lambda: network(mean=1e5, dtype=torch.float16),
    "image_size none": lambda: network(image_size=None),
    "in_channels none": lambda: network(in_channels=None),
    "num_classes none": lambda: network(num_classes=None),
    "group of an action": lambda: g.act_on_image("C4", 1, zeros(2, 2)),
    "group of an action on features": lambda: g.act_on_features("C4", 1, zeros(4, 2, 2)),
    "group of an error": lambda: g.equivariance_error(nn.Identity(), zeros(1, 1, 2, 2), "E4", 1),
    "encoding published with narrow heads": lambda: lift(
        C4, 3, 8, 8, encoding="published", window=3
    ),
    "encoding published with heads of two": lambda: attend(
        encoding="published", head_dim=2, window=3
    ),
    "encoding published with narrow heads off the axes": lambda: attend(
        C8, 3, 8, 4, encoding="published", window=3
    ),
    "elements none": lambda: g.assert_equivariant(nn.Identity(), zeros(1, 1, 2, 2), C4, []),
    "logits of one axis": lambda: g.prediction_consistency(zeros(3), zeros(3)),
    "logits of no images": lambda: g.prediction_consistency(zeros(0, 3), zeros(0, 3)),
    "moved logits of one image": lambda: g.prediction_consistency(zeros(4, 3), zeros(1, 3)),
    "img_size of a network": lambda: network(img_size=8),
    "heads of a layer": lambda: attend(heads=2),
    "kernel of a convolution": lambda: g.LiftingConv2d(C4, 1, 2, kernel=3),
    "foo of a width that is solved for": lambda: g.solve_channels(5000, foo=1),
    "degrees nan": lambda: g.rotate_image(zeros(1, 1, 3, 3), float("nan")),
    "degrees text": lambda: g.rotate_image(zeros(1, 1, 3, 3), "90"),
    "degrees of other images": lambda: g.rotate_image(zeros(2, 1, 3, 3), torch.ones(3)),
}


# Whole numbers and numbers of numpy, and the sizes of tensors, are taken wherever Python's are.
RIGHT = {
    "layer": lambda: attend(C4, np.int64(3), np.int32(8), np.uint8(2), window=np.int16(3)),
    "head_dim": lambda: lift(head_dim=np.int64(3), image_size=np.array([8, 9])),
    "convolution": lambda: g.GroupConv2d(C4, np.int64(1), np.int64(2), np.int64(3)),
    "linear": lambda: g.GroupLinear(C4, np.int64(1), np.int64(2), bias=np.bool_(True)),
    "patches": lambda: g.PatchEmbedding(C4, np.int64(1), np.int64(2), np.int64(4)),
    "stem": lambda: g.Stem(C4, np.int64(1), np.int64(2), np.int64(4)),
    "norm": lambda: [g.ChannelNorm(np.int64(4)), g.FeedForward(np.int64(4), np.float32(1.5))],
    "group": lambda: g.act_on_image(g.cyclic_group(np.int64(4)), np.int64(1), zeros(2, 2)),
    "shift": lambda: g.shift_image(zeros(3, 3), np.int64(1), np.int64(0)),
    "sizes": lambda: [network(image_size=one) for one in (zeros(9, 9).shape, np.array(8))],
    "mean": lambda: network(mean=np.float64(0.5), std=np.float32(0.5)),
    "means": lambda: network(in_channels=2, mean=np.array([0.1, 0.2]), std=np.ones((2, 1, 1))),
    "std of a wide type": lambda: network(std=1e-60, dtype=torch.float64),
    "angles": lambda: [g.rotate_image(zeros(2, 1, 3, 3), one) for one in (np.float32(30), 30)],
    "angle in a tensor": lambda: g.rotate_image(zeros(2, 1, 3, 3), torch.tensor(30)),
    "heads of two without frames": lambda: lift(encoding="published", head_dim=2, window=3),
    "mean of a tensor": lambda: network(mean=torch.tensor(0.5), std=torch.tensor([0.5])),
    "network": lambda: network(
        depth=np.int64(1), channels=np.int64(4), num_heads=np.int64(2), dropout=np.float32(0.1),
        num_classes=np.int64(3), feedforward_ratio=np.float64(2), in_channels=np.int64(1),
    ),
    "budget": lambda: g.solve_channels(np.int64(5000), image_size=np.int64(8)),
}  # fmt: skip


def sentences() -> dict[str, str]:
    """What every call raises; of those that are right, the configuration."""
    found = {}
    for case, call in RIGHT.items():
        try:
            config = getattr(call(), "_built", None)
            found[case] = json.dumps(config[0]) if config else "built"
        except Exception as error:
            found[case] = repr(error)
    for case, call in WRONG.items():
        try:
            call()
            found[case] = "nothing was raised"
        except Exception as error:
            meant_for_users = isinstance(error, ValueError | TypeError)
            found[case] = str(error) if meant_for_users else repr(error)
    return found


@pytest.fixture(scope="module")
def said(pytestconfig: pytest.Config) -> dict[str, str]:
    """The same; with `--full` in a process of its own, where no test hook looks at types first."""
    if not pytestconfig.getoption("--full"):
        return sentences()
    code = "import json, test_wrong_arguments as t; print(json.dumps(t.sentences()))"
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(g.__file__).parents[1])])
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(json.loads(run.stdout))


@pytest.mark.parametrize("case", RIGHT)
def test_numbers_of_numpy_are_numbers(case: str, said: dict[str, str]) -> None:
    assert said[case].startswith(("built", "{")), said[case]


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_what_is_accepted(case: str, said: dict[str, str]) -> None:
    (sentence,) = said[case].splitlines()
    assert sentence.startswith(f"{case.split()[0]}: got ") and "accepts" in sentence, sentence
