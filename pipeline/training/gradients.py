"""The loss of a batch and its gradients: eagerly, compiled, or as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.training.cuda_graph import CapturedGradients
from pipeline.training.devices import is_gpu
from pipeline.training.penalty import with_penalty
from pipeline.training.precision import autocast, precision_of, products_in

__all__ = ["Gradients", "gradients_of"]

# How a training computes them, as rows have it.
EAGER, COMPILED = "eager", "compiled"


class Gradients:
    """Adds the gradients of a mean loss to those of the parameters, and returns the loss.

    Parameters
    ----------
    model
        The network.
    config
        The configuration of the training: its precision, label smoothing, and whether it compiles.
    class_weights
        ``(classes,)``: what the loss of an image of each class is multiplied by; None is 1.

    Attributes
    ----------
    way
        ``eager`` or ``compiled``; of `CapturedGradients` ``cuda_graph``.
    keeps_gradients
        Whether the tensors of gradients stay, so that they are set to zero and not removed.
    """

    keeps_gradients = False

    def __init__(
        self, model: nn.Module, config: dict[str, Any], class_weights: Tensor | None
    ) -> None:
        self.config, self.class_weights = config, class_weights
        self.precision = precision_of(config)
        self.smoothing: float = config["label_smoothing"]
        self.way = EAGER
        self.called: Callable[[Tensor], Tensor] = model
        if config.get("compile"):
            # Torch compiles a class for a few of its networks only, and then silently no more.
            torch.compiler.reset()
            self.way, self.called = COMPILED, torch.compile(model, dynamic=False)

    def __call__(self, images: Tensor, labels: Tensor, share: float | Tensor) -> Tensor:
        """Return the mean loss of images; `share` is their part of the batch.

        Parameters
        ----------
        images
            ``(count, channels, height, width)``, augmented, from 0 to 1; with a penalty those of
            `pipeline.training.penalty.with_turned`, twice as many as labels.
        labels
            ``(count,)``.
        share
            What the gradients are multiplied by.
        """
        with products_in(self.precision):
            loss = self._loss(images, labels)
            (loss * share).backward()
        return loss.detach()

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        with autocast(self.precision, images.device):
            logits = self.called(images)
        logits, penalty = logits.float(), None
        if self.config.get("penalty"):
            logits, penalty = with_penalty(logits, self.config)
        if self.class_weights is None:
            loss = functional.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        else:  # not by the argument `weight`, which divides by the weights of a batch
            losses = functional.cross_entropy(
                logits, labels, label_smoothing=self.smoothing, reduction="none"
            )
            loss = (losses * self.class_weights[labels]).mean()
        return loss if penalty is None else loss + penalty


def gradients_of(
    model: nn.Module, config: dict[str, Any], class_weights: Tensor | None
) -> Gradients | CapturedGradients:
    """Return what computes the gradients of a training, as its configuration asks for it."""
    plain = Gradients(model, config, class_weights)
    if config.get("cuda_graph") and is_gpu(next(model.parameters()).device):
        return CapturedGradients(plain, model)
    return plain
