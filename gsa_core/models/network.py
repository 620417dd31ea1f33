"""What every network has: features, a head that can be replaced, intermediate feature maps.

Names and arguments are those of timm. A network is its `layers`, one after another; the last one is
its head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from gsa_core.attention.encodings.absolute import AbsoluteEncoding
from gsa_core.attention.encodings.rotary import RotaryEncoding
from gsa_core.attention.encodings.tables import OffsetEncoding
from gsa_core.attention.masks import check_mask
from gsa_core.common.arguments import check_flag, check_whole
from gsa_core.groups import PointGroup
from gsa_core.models.network_file import SavedNetwork, outline

__all__ = ["Model", "make_classifier"]


def make_classifier(channels: int, num_classes: int) -> nn.Module:
    """A linear map to logits; for no classes the features themselves."""
    num_classes = check_whole("num_classes", num_classes, least=0)
    return nn.Linear(channels, num_classes) if num_classes else nn.Identity()


class Model(SavedNetwork):
    """A classifier of images as `layers`: the head last, and before it a map of features."""

    group: PointGroup
    head: nn.Module
    grad_checkpointing = False

    def layers(self) -> dict[str, nn.Module]:
        """The layers that are applied one after another, by name."""
        raise NotImplementedError

    def _chain(self) -> dict[str, nn.Module]:
        """What an image passes one after another, where that is not what symmetry is asked of."""
        return self.layers()

    def forward(
        self, image: Float[Tensor, "batch channels height width"], mask: Tensor | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Map ``(batch, in_channels, height, width)`` to logits ``(batch, num_classes)``.

        `mask`, boolean ``(batch, height, width)``, says where there is an image: nothing else
        changes the logits. It moves with the image.
        """
        if mask is not None:
            check_mask("mask", mask, image.shape[0], image.shape[2], image.shape[3])
            # A compiled or exported network cannot stop at a value.
            if not torch.compiler.is_compiling() and not mask.flatten(1).any(1).all():
                raise ValueError(
                    "mask: got one that hides all of an image; accepts one that leaves a pixel"
                )
            return self._forward_masked(image, mask)
        return self.forward_head(self.forward_features(image))

    def _forward_masked(self, image: Tensor, mask: Tensor) -> Tensor:
        raise ValueError(
            f"mask: got one, but this {type(self).__name__} has convolutions, which mix masked "
            "pixels into the others; a mask needs a network built with tokens='patch' or 'pixel'"
        )

    def forward_features(self, image: Float[Tensor, "batch channels height width"]) -> Tensor:
        """The feature map that reaches the head, ``(batch, channels, |H|, height, width)``."""
        for layer in list(self._chain().values())[:-1]:
            image = self._apply_layer(layer, image)
        return image

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits of a feature map, or the invariant features that are mapped to logits."""
        return self.head.pool(features) if pre_logits else self.head(features)  # type: ignore[operator]

    def features(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch hidden"]:
        """Invariant features before the last linear map, ``(batch, head_hidden_size)``."""
        return self.forward_head(self.forward_features(image), pre_logits=True)

    def forward_intermediates(
        self,
        image: Float[Tensor, "batch channels height width"],
        indices: int | Sequence[int] | None = None,
        *,
        stop_early: bool = False,
        intermediates_only: bool = False,
    ) -> tuple[Tensor, list[Tensor]] | list[Tensor]:
        """The feature map that reaches the head, and those after the layers before it.

        Parameters
        ----------
        image
            Images ``(batch, channels, height, width)``.
        indices
            Which of `intermediate_names`: the last so many, a list of indices, or all.
        stop_early
            Whether layers after the last of these are left out.
        intermediates_only
            Whether to return the list alone.
        """
        names = self.intermediate_names()
        chosen = _chosen(indices, len(names))
        layers, found = self._chain(), []
        x = self._apply_layer(layers["standardise"], image)
        for index, name in enumerate(names):
            if stop_early and index > max(chosen):
                break
            x = self._apply_layer(layers[name], x)
            if index in chosen:
                found.append(x)
        return found if intermediates_only else (x, found)

    def intermediate_names(self) -> list[str]:
        """Names of the layers whose output `forward_intermediates` returns."""
        return [name for name in list(self._chain())[:-1] if name != "standardise"]

    @property
    def num_classes(self) -> int:
        """Number of logits; 0 if the head returns features."""
        return getattr(self.get_classifier(), "out_features", 0)

    @property
    def num_features(self) -> int:
        """Channels a frame of the feature map that reaches the head."""
        return int(self.head.num_features)  # type: ignore[arg-type]

    @property
    def head_hidden_size(self) -> int:
        """Channels of the features before the last linear map."""
        return int(self.head.hidden_size)  # type: ignore[arg-type]

    def get_classifier(self) -> nn.Module:
        """The last linear map; an identity if there is none."""
        return self.head.classify  # type: ignore[return-value]

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last linear map by a new one, random; with 0 classes by the identity.

        The network's `config` follows, so that it can still be saved.
        """
        like, old = next(self.parameters()), self.get_classifier()
        prefix = next(name for name, module in self.named_modules() if module is old) + "."
        new = self._make_classifier(num_classes).to(like)
        self._set_classifier(new.train(self.training))
        if self._built is not None:
            config, shapes = self._built
            kept = {name: x for name, x in shapes.items() if not name.startswith(prefix)}
            now = {name: x for name, x in outline(self).items() if name.startswith(prefix)}
            self._built = ({**config, "num_classes": int(num_classes)}, kept | now)

    def _make_classifier(self, num_classes: int) -> nn.Module:
        return make_classifier(self.head_hidden_size, num_classes)

    def _set_classifier(self, classifier: nn.Module) -> None:
        self.head.classify = classifier

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters of positional encodings, without weight decay in timm."""
        return {
            f"{place}.{name}"
            for place, module in self.named_modules()
            if isinstance(module, AbsoluteEncoding | OffsetEncoding | RotaryEncoding)
            for name, _ in module.named_parameters(recurse=False)
        }

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute each layer again in the backward pass: less memory, about a third more time.

        Gradients and statistics of batch norm are the same.
        """
        self.grad_checkpointing = check_flag("enable", enable)

    def _apply_layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        if not (self.grad_checkpointing and self.training and torch.is_grad_enabled()):
            return layer(x)

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), _unchanged_statistics(layer)

        return checkpoint(layer, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def _unchanged_statistics(layer: nn.Module) -> Iterator[None]:
    """Batch norms see a batch a second time, and count it once."""
    norms = [module for module in layer.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches


def _chosen(indices: int | Sequence[int] | None, count: int) -> list[int]:
    """Indices from 0, of the last so many or of a list, whose numbers may count from the end."""
    if indices is None:
        return list(range(count))
    wanted = range(count - indices, count) if isinstance(indices, int) else list(indices)
    accepted = f"accepts 1 to {count}, or a list of {-count} to {count - 1}"
    if not wanted or (isinstance(indices, int) and not 1 <= indices <= count):
        raise ValueError(f"indices: got {indices!r}; {accepted}")
    for index in wanted:
        if isinstance(index, bool) or not isinstance(index, int) or not -count <= index < count:
            raise ValueError(f"indices: got {index!r}; {accepted}")
    return sorted({index % count for index in wanted})
