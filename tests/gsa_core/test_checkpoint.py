"""Networks in files: brought back as they were, and every other file refused in one sentence."""

from __future__ import annotations

import json
import pickle
import tomllib

import pytest
import safetensors.torch
import torch
from cases import randomised
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import gsa_core
from gsa_core import Symmetrized, build_model, cyclic_group, load
from gsa_core.models.build import MODELS
from gsa_core.models.network_file import KEY, VERSION
from gsa_core.models.transformer import GroupTransformer

SIZE = {"published_rotmnist": 24, "published_cifar10": 8, "published_pcam": 48}


def network(model="gsa", **options):
    options = {"image_size": SIZE.get(model, 8), "num_classes": 3, **options}
    if model in SIZE:
        options = {"window": 3, "group": "C2", **options}
    elif model != "gcnn":
        options = {"channels": 8, **options}
    return build_model(model, **options)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_comes_back_from_its_file(model, tmp_path):
    saved = randomised(network(model, mean=0.2)).float()
    saved.save(tmp_path / "x.safetensors")
    state = torch.random.get_rng_state()
    found = load(tmp_path / "x.safetensors")
    assert torch.equal(torch.random.get_rng_state(), state), "loading draws nothing"
    assert not found.training
    assert found.config == saved.config
    images = torch.randn(1, 1, *2 * [SIZE.get(model, 8)])
    # By torch's operators: a kernel would be built for each width of a head.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        assert torch.equal(found(images), saved(images))
    assert all(p.requires_grad for p in found.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types_are_kept(dtype, tmp_path):
    saved = network(group="C8", positional="radial").to(dtype).eval()
    saved.save(tmp_path / "x")
    found, images = load(str(tmp_path / "x")), torch.randn(2, 1, 8, 8, dtype=dtype)
    assert torch.equal(found(images), saved(images))


@pytest.mark.parametrize(
    "options",
    [
        {"group": cyclic_group(4), "image_size": (8, 12), "mean": [0.5]},
        {"image_size": torch.Size([8, 8]), "std": 0.25, "channels": 6},
        {"tokens": "pixel", "depth": 1, "positional": "none"},
        {"model": "symmetrized", "reduction": "max", "positional": "rotary"},
    ],
    ids=str,
)
def test_the_configuration_is_plain_and_builds_the_same(options):
    torch.manual_seed(0)
    first = build_model(**options)
    assert json.loads(json.dumps(first.config)) == first.config
    torch.manual_seed(0)
    second = build_model(**first.config)
    assert second.config == first.config
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    first.config["depth"] = 7
    assert first.config["depth"] != 7, "a copy"


def test_the_same_network_gives_the_same_bytes(tmp_path):
    model = network()
    for name in "ab":
        model.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"], "nothing is left aside"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    model, path = network(), tmp_path / "x"
    model.save(path)
    before = path.read_bytes()

    def refuse(handle):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="no space left"):
        network(group="D4").save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_the_version_is_that_of_the_package(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


@pytest.mark.parametrize(
    "model",
    [
        Symmetrized(nn.Linear(2, 2), cyclic_group(4)),
        GroupTransformer(
            cyclic_group(1), in_channels=1, num_classes=2, image_size=(8, 8), depth=1,
            positional="none", tokens="patch", form="joint", channels=4, num_heads=1, window=None,
            encoding="auto", feedforward_ratio=2, dropout=0, mean=0, std=1,
        ),
    ],
)  # fmt: skip
def test_networks_built_by_hand_have_no_configuration(model, tmp_path):
    with pytest.raises(ValueError, match="accepts a network of build_model"):
        model.save(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def exchanged_head(model):
    model.head.classify = nn.Linear(8, 5)


def fewer_blocks(model):
    model.blocks = model.blocks[:1]


def other_window(model):
    model.blocks[0].attention.window = 3


def test_a_network_without_values_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="device 'meta', which has no values"):
        network(device="meta").save(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_missing_is_named_by_the_path_asked_for(tmp_path):
    path = tmp_path / "missing" / "x.safetensors"
    with pytest.raises(FileNotFoundError, match="a folder that does not exist") as error:
        network().save(path)
    assert error.value.filename == str(path)


def test_a_folder_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path, "."):
        with pytest.raises(IsADirectoryError, match="path: got a folder; accepts the name"):
            network().save(path)
        with pytest.raises(IsADirectoryError, match="path: got a folder; accepts a file that"):
            load(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_torch_is_known(zipped, tmp_path):
    path = tmp_path / "x.pt"
    torch.save(nn.Linear(2, 2).state_dict(), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"is no safetensors file, but one of torch\.save"):
        load(path)


@pytest.mark.parametrize("change", [exchanged_head, fewer_blocks, other_window])
def test_a_network_that_was_changed_is_not_saved(change, tmp_path):
    model = network()
    change(model)
    with pytest.raises(ValueError, match="is not what its config builds"):
        model.save(tmp_path / "x")


def rewritten(content, about=None, tensors=None):
    """A file with another configuration, or other tensors."""
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    old = json.loads(metadata[KEY])
    about = old if about is None else about(old)
    tensors = (tensors or (lambda x: x))(safetensors.torch.load(content))
    text = about if isinstance(about, str) else json.dumps(about)
    return safetensors.torch.save(tensors, {KEY: text})


def with_arguments(**more):
    return lambda about: {**about, "arguments": {**about["arguments"], **more}}


BIAS = "head.classify.bias"


def with_tensor(name, tensor):
    return lambda tensors: {**tensors, name: tensor}


BAD = {
    "is no whole safetensors file": [
        lambda content: b"",
        lambda content: b"not a file of tensors at all",
        lambda content: pickle.dumps({"x": 1}),
        lambda content: content[:7],
        lambda content: content[:100],
        lambda content: content[:-1],
        lambda content: content + b"x",
    ],
    "has no configuration": [
        lambda content: safetensors.torch.save(safetensors.torch.load(content)),
        lambda content: safetensors.torch.save({"x": torch.zeros(2)}, {"format": "pt"}),
    ],
    "has a damaged configuration": [
        lambda content: rewritten(content, lambda about: "{"),
        lambda content: rewritten(content, lambda about: "[" * 5000),
        lambda content: rewritten(content, lambda about: []),
        lambda content: rewritten(content, lambda about: {"format": 1}),
    ],
    "has the format 2 of gsa_core": [
        lambda content: rewritten(content, lambda about: {**about, "format": 2}),
        lambda content: rewritten(
            content, lambda about: {**about, "format": 2, "version": "9\n\x1b[31m"}
        ),
    ],
    "Storage size calculation overflowed": [
        lambda content: rewritten(content, with_arguments(channels=10**9)),
    ],
    "Overflow when unpacking": [
        lambda content: rewritten(content, with_arguments(channels=2**70)),
    ],
    "a depth of 1000000": [
        lambda content: rewritten(content, with_arguments(depth=10**6)),
    ],
    "that build_model of gsa_core": [
        lambda content: rewritten(content, with_arguments(colour="red")),
        lambda content: rewritten(content, with_arguments(device="cuda")),
        lambda content: rewritten(content, lambda about: {**about, "arguments": [1]}),
    ],
    "reduction: got 'max' with model 'gsa'": [
        lambda content: rewritten(content, with_arguments(reduction="max")),
    ],
    "model: got 'gas'": [lambda content: rewritten(content, with_arguments(model="gas"))],
    "of shape": [
        lambda content: rewritten(content, with_arguments(num_classes=4)),
        lambda content: rewritten(content, with_arguments(channels=10)),
    ],
    "lacks": [
        lambda content: rewritten(content, with_arguments(depth=3)),
        lambda content: rewritten(content, tensors=lambda x: {BIAS: x[BIAS]}),
    ],
    "unlike the network": [
        lambda content: rewritten(content, with_arguments(depth=1)),
        lambda content: rewritten(content, tensors=with_tensor("more", torch.zeros(2))),
    ],
    "of torch.int64": [
        lambda content: rewritten(
            content, tensors=with_tensor("head.classify.bias", torch.zeros(3, dtype=torch.int64))
        ),
    ],
    "the weights are of": [
        lambda content: rewritten(content, with_arguments(group="D2")),
        lambda content: rewritten(content, with_arguments(window=3)),
        lambda content: rewritten(content, with_arguments(num_heads=4)),
    ],
}


@pytest.mark.parametrize(
    ("sentence", "index"), [(said, i) for said, changes in BAD.items() for i in range(len(changes))]
)
def test_other_files_are_refused_in_one_sentence(sentence, index, tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    network(positional="none").save(path)
    path.write_bytes(BAD[sentence][index](path.read_bytes()))
    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(ValueError, match=r"x\.safetensors: ") as error:
        gsa_core.load(path)
    assert sentence in str(error.value)
    assert str(error.value).isprintable()
