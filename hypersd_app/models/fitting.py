"""Fitting what was expected in one box into another: an apple in the middle, to where and how large one is drawn."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def box(weight: Tensor, least: float | Tensor) -> Tensor:
    """The smallest box around all of `weight` (B, H, W) that exceeds `least`: y0, y1, x0, x1 in [0, 1], (B, 4).

    The whole of it where nothing does.
    """
    seen = (weight > least).to(weight.dtype)
    return torch.cat([*_ends(seen.amax(2)), *_ends(seen.amax(1))], 1)


def _ends(seen: Tensor) -> tuple[Tensor, Tensor]:
    """Where ones begin and end among zeros (B, N), as parts of the length: (B, 1) each."""
    count = seen.shape[1]
    places = torch.arange(count, device=seen.device, dtype=seen.dtype)
    # Multiplied instead of masked: what converts graphs for inference keeps every value finite.
    first = (places * seen + count * (1 - seen)).amin(1, keepdim=True)
    last = ((places + 1) * seen).amax(1, keepdim=True)
    nothing = (last == 0).to(seen.dtype)
    return (1 - nothing) * first / count, (1 - nothing) * last / count + nothing


def fitted(image: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """`image` (B, C, N, N) stretched so that its `source` box lies where `target` is, boxes as `box` gives them; zeros around it.

    Linear interpolation, over as many cells as a cell of the result covers.
    """
    size = image.shape[-1]
    down = _weights(source[:, :2], target[:, :2], size)
    across = _weights(source[:, 2:], target[:, 2:], size)
    return down.unsqueeze(1) @ image @ across.transpose(1, 2).unsqueeze(1)


def _weights(source: Tensor, target: Tensor, size: int) -> Tensor:
    """Which cells of an axis each cell is made of, (B, size, size); `source` and `target` are (B, 2)."""
    cells = torch.arange(size, device=source.device, dtype=source.dtype)
    ratio = (source[:, 1:] - source[:, :1]) / (target[:, 1:] - target[:, :1]).clamp(min=1 / size)
    centres = ((cells + 0.5) / size - target[:, :1]) * ratio + source[:, :1]
    reach = ratio.clamp(min=1.0).unsqueeze(2)
    distance = (size * centres - 0.5).unsqueeze(2) - cells
    return functional.relu(1 - distance.abs() / reach) / reach
