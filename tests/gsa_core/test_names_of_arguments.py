"""Arguments that other libraries call by another name lead to the name here."""

import pytest

import gsa_core as g


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
