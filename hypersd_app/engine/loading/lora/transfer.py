"""Styles brought to a device in one transfer: factors are small, and the changes they make are computed there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from hypersd_app.engine.loading.lora.changes import Change

ALIGNED = 16  # bytes; where each tensor begins


def on_device(styles: Sequence[tuple[Mapping[str, Change], float]], device: torch.device) -> list[tuple[dict[str, Change], float]]:
    """The same styles, their tensors on `device`."""
    if device.type == "cpu":
        return [(dict(changes), weight) for changes, weight in styles]
    moved = packed((tensor for changes, _ in styles for change in changes.values() for tensor in change.tensors()), device)
    return [
        ({name: change.with_tensors(lambda tensor: moved[id(tensor)]) for name, change in changes.items()}, weight)
        for changes, weight in styles
    ]


def moved_to(change: Change, device: torch.device) -> Change:
    """The same change, its tensors on `device`."""
    return change.with_tensors(lambda tensor: tensor.to(device))


def packed(tensors: Iterable[Tensor], device: torch.device) -> dict[int, Tensor]:
    """Copies on `device` by the ids of `tensors`, all of them moved at once through one pinned buffer."""
    unique = {id(tensor): tensor.contiguous() for tensor in tensors}
    starts, end = {}, 0
    for name, tensor in unique.items():
        starts[name] = end
        end += -(-tensor.nbytes // ALIGNED) * ALIGNED
    buffer = torch.empty(end, dtype=torch.uint8, pin_memory=device.type == "cuda")
    for name, tensor in unique.items():
        buffer[starts[name] : starts[name] + tensor.nbytes] = tensor.flatten().view(torch.uint8)
    there = buffer.to(device, non_blocking=True)
    return {
        name: there[starts[name] : starts[name] + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        for name, tensor in unique.items()
    }
