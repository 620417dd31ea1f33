"""Arguments that other libraries call by another name lead to the name here; help has defaults."""

import inspect
import re

import pytest

import gsa_core as g
from gsa_core.models.build import _DEFAULTS


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("img_size", "image_size"),
        ("in_chans", "in_channels"),
        ("embed_dim", "channels"),
        ("mlp_ratio", "feedforward_ratio"),
        ("drop_rate", "head_dropout"),
        ("proj_drop_rate", "dropout"),
        ("attn_drop_rate", "attention_dropout"),
        ("drop_path_rate", "drop_path"),
        ("heads", "num_heads"),
        ("window_size", "window"),
    ],
)
def test_names_of_other_libraries_lead_to_those_here(name: str, meant: str) -> None:
    with pytest.raises(
        TypeError, match=rf"^{name}: .* build_model does not have; accepts {meant}$"
    ):
        g.build_model(**{name: 1})


@pytest.mark.parametrize("name", sorted(_DEFAULTS))
def test_help_of_build_model_states_every_default(name: str) -> None:
    """The signature has `None`, because a default depends on the model."""
    text = inspect.getdoc(g.build_model).partition("Returns\n---")[0]
    entries = re.findall(r"^(\w[\w, ]*)\n((?:    .*\n|\n(?=    ))+)", text, flags=re.MULTILINE)
    [said] = [" ".join(about.split()) for names, about in entries if name in names.split(", ")]
    value = "4 by default" if name == "patch_size" else f"{_DEFAULTS[name]}".removesuffix(".0")
    assert value in said and "by default" in said
