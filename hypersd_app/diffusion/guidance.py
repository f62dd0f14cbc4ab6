"""Classifier-free guidance (Ho and Salimans, 2022)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Model = Callable[[Tensor, Tensor], Tensor]  # (x_t, t of shape (B,)) -> prediction
C = TypeVar("C")  # what a model is conditioned on: a tensor of embeddings, or more


def is_guided(scale: float) -> bool:
    """Whether a guidance scale needs the unconditional prediction too: only above 1."""
    return scale > 1


def guide(predictions: Tensor, scale: float) -> Tensor:
    """uncond + scale (cond - uncond), (B, ...), of one batch (2 B, ...) with the unconditional half first."""
    unconditional, conditional = predictions.chunk(2)
    return unconditional + scale * (conditional - unconditional)


def guided(
    model: Callable[[Tensor, Tensor, C], Tensor],
    cond: C,
    uncond: C,
    scale: float,
    join: Callable[[list[C]], C] = torch.cat,  # type: ignore[assignment]
) -> Model:
    """The guided model, both halves in one batch, combined in float32; without guidance the conditional half alone.

    `join` concatenates conditions into one batch.
    """
    if not is_guided(scale):
        return lambda x, t: model(x, t, cond)

    def run(x: Tensor, t: Tensor) -> Tensor:
        return guide(model(torch.cat([x, x]), torch.cat([t, t]), join([uncond, cond])).float(), scale)

    return run
