"""Networks in folders of Hugging Face: saved, brought back, described; nothing is uploaded."""

from __future__ import annotations

import json

import pytest
import torch

from gsa_core import build_model, hub

pytest.importorskip("huggingface_hub")

FACTS = {
    "data": "rotated digits, 10,000 images",
    "protocol": "AdamW, 30 epochs, chosen on validation images",
    "accuracy": 0.962,
    "interval": (0.955, 0.968),
    "license": "mit",
}
CASES = [{"model": "gsa", "group": "D4"}, {"model": "symmetrized"}, {"model": "staged_gcnn"}]


@pytest.mark.parametrize("arguments", CASES)
def test_a_network_comes_back_from_its_folder(arguments, tmp_path, noise):
    model = build_model(image_size=8, channels=4, **arguments).double().eval()
    hub.save_pretrained(model, tmp_path / "new" / "model", hub.ModelFacts(**FACTS))
    found = hub.from_pretrained(tmp_path / "new" / "model")
    images = noise(2, 1, 8, 8)
    assert torch.equal(found(images), model(images))
    config = json.loads((tmp_path / "new" / "model" / "config.json").read_text())
    assert config == found.config == model.config


def test_the_card_states_data_protocol_accuracy_and_measured_invariance(tmp_path):
    model = build_model(image_size=8, channels=4, group="D4").double().train()
    hub.save_pretrained(model, tmp_path, hub.ModelFacts(**FACTS))
    card = (tmp_path / "README.md").read_text()
    assert model.training
    for text in (
        "license: mit", "rotated digits, 10,000 images", "AdamW, 30 epochs",
        "96.2% (95 % interval 95.5% to 96.8%)", "of logits under D4", "group D4",
    ):  # fmt: skip
        assert text in card
    error = float(card.split("**Invariance error**: ")[1].split()[0])
    assert error < 1e-11
    hub.save_pretrained(model.train(), tmp_path)
    assert "rotated digits" not in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interval": None}, "accuracy: got one without an interval"),
        ({"interval": (0.97, 0.99)}, r"interval: got .* around 0.962"),
        ({"accuracy": 96.2}, "interval: got"),
    ],
)
def test_facts_that_cannot_be_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        hub.ModelFacts(**{**FACTS, **changes})


def test_other_folders_and_modules_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no model\.safetensors"):
        hub.from_pretrained(tmp_path)
    for place in (tmp_path / "none", "./none", "a b", "a/b/c", ""):
        with pytest.raises(ValueError, match="is no folder; accepts one, or owner/name"):
            hub.from_pretrained(place)
    with pytest.raises(TypeError, match="model: got a Linear"):
        hub.save_pretrained(torch.nn.Linear(1, 1), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is no whole safetensors file"):
        hub.from_pretrained(tmp_path)
