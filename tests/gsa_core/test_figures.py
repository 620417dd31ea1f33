"""Figures of what a network sees of a moved image: the maps move with it."""

from __future__ import annotations

import pytest
import torch

from gsa_core import act_on_features, act_on_image, build_model
from gsa_core.figures import attention_maps, draw_turned

SMALL = {"image_size": 8, "channels": 4, "num_heads": 2, "depth": 2}

PUBLISHED = {
    "model": "published_rotmnist", "channels": None, "num_heads": None, "depth": None, "window": 3,
    "image_size": 28,
}  # fmt: skip


def network(**options):
    torch.manual_seed(2)
    model = build_model(**{**SMALL, **options}).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.mark.parametrize("form", ["framewise", "joint", "published"])
@pytest.mark.parametrize("element", [1, 5])
def test_attention_moves_with_the_image(form, element):
    model = network(group="D4", form=form, tokens="patch", patch_size=2)
    image = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    for layer in (0, -1):
        still = attention_maps(model, image, layer)
        moved = attention_maps(model, act_on_image(model.group, element, image), layer)
        assert still.shape[:4] == (1, 8, 4, 4)
        whole = 8.0 if form == "published" else 1.0
        torch.testing.assert_close(
            still.flatten(4).sum(-1), torch.full_like(still[..., 0, 0, 0], whole)
        )
        # How much each token is looked at in all, which is a feature map of the key.
        seen, of_moved = (one.sum((1, 2, 3)).sum(1)[:, None] for one in (still, moved))
        torch.testing.assert_close(of_moved, act_on_image(model.group, element, seen))


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"group": "C4"}, 4),
        ({"group": "D4", "form": "joint", "in_channels": 3}, 4),
        ({"group": "C4", "tokens": "pixel", "depth": 1}, 4),
        ({"model": "gcnn", "group": "C4", "num_heads": None}, 2),
        ({"model": "symmetrized", "group": "C4", "patch_size": 2}, 2),
        (PUBLISHED, 4),
    ],
)
def test_a_figure_has_a_row_of_frames(options, rows):
    pytest.importorskip("matplotlib")
    model = network(**options).train()
    image = torch.rand(options.get("in_channels", 1), *model.config["image_size"]).double()
    figure = draw_turned(model, image)
    assert model.training
    assert len(figure.axes) == rows * (1 + model.group.order)
    columns = 1 + model.group.order
    titles = [place.get_title() for place in figure.axes]
    assert titles[:columns] == ["", *(f"frame {frame}" for frame in range(columns - 1))]
    assert not any(titles[columns:])


def test_maps_in_the_figure_are_those_of_the_image_moved():
    pytest.importorskip("matplotlib")
    model = network(group="C4", tokens="patch", patch_size=2)
    figure = draw_turned(model, torch.rand(1, 8, 8, dtype=torch.float64), element=1)
    drawn = [torch.tensor(place.images[0].get_array().data) for place in figure.axes]
    features, moved, attention, of_moved = (
        torch.stack(drawn[5 * row + 1 : 5 * row + 5]) for row in range(4)
    )
    for still, after in ((features, moved), (attention, of_moved)):
        expected = act_on_features(model.group, 1, still[None, None])[0, 0]
        torch.testing.assert_close(after, expected)
    assert (attention - attention.mean()).abs().max() > 1e-3
    for row, maps in ((1, features), (2, features), (3, attention), (4, attention)):
        limits = [place.images[0].get_clim() for place in figure.axes[5 * row - 4 : 5 * row]]
        assert set(limits) == {(maps.min().item(), maps.max().item())}, "the contrast is the maps'"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: attention_maps(m, x[None], 2), "layer: got 2 .* has 2 attention layers"),
        (lambda m, x: attention_maps(torch.nn.ReLU(), x[None]), "has 0 attention layers"),
        (lambda m, x: draw_turned(m, x, 4), "element: got 4 of C4"),
        (lambda m, x: draw_turned(m, x, -1), "element: got -1"),
        (lambda m, x: draw_turned(m, x[None]), "image: got"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(call, message):
    model = network(group="C4", tokens="patch", patch_size=2)
    with pytest.raises(ValueError, match=message):
        call(model, torch.rand(1, 8, 8, dtype=torch.float64))


def test_another_module_cannot_be_drawn():
    with pytest.raises(TypeError, match="model: got a Conv2d; accepts a network of build_model"):
        draw_turned(torch.nn.Conv2d(1, 2, 3), torch.rand(1, 8, 8))
