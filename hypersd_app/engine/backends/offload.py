"""Weights that do not stay on the device: parts that take turns there, and layers that borrow their weights as they run."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def borrowed(stored: Tensor | None, like: Tensor) -> Tensor | None:
    """`stored` where `like` is and in its precision; freed by whoever drops it."""
    return None if stored is None else stored.to(device=like.device, dtype=like.dtype, non_blocking=True)


class CastLinear(nn.Linear):
    """A linear layer whose weights may lie on another device and in other bits than what it computes with."""

    def forward(self, input: Tensor) -> Tensor:
        weight = borrowed(self.weight, input)
        assert weight is not None
        return nn.functional.linear(input, weight, borrowed(self.bias, input))


class CastConv2d(nn.Conv2d):
    """A convolution whose weights may lie on another device and in other bits than what it computes with."""

    def forward(self, input: Tensor) -> Tensor:
        weight = borrowed(self.weight, input)
        assert weight is not None
        return self._conv_forward(input, weight, borrowed(self.bias, input))


CAST_LAYERS: dict[type[nn.Module], type[nn.Module]] = {nn.Linear: CastLinear, nn.Conv2d: CastConv2d}


def sequential_offload(module: nn.Module, storage: torch.dtype, compute: torch.dtype, device: torch.device) -> nn.Module:
    """`module` with its linear layers and convolutions on the CPU in `storage`; all else, a hundredth, goes to `device`.

    Only the class of a layer changes: its weights stay ordinary parameters, which styles can be added to.
    """
    for layer in module.modules():
        cast = CAST_LAYERS.get(type(layer))
        if cast is not None:
            layer.__class__ = cast
        for name, parameter in list(layer.named_parameters(recurse=False)):
            value = parameter.detach()
            value = value.to("cpu", storage) if cast else value.to(device, compute)
            setattr(layer, name, nn.Parameter(value, requires_grad=False))
        for name, buffer in layer.named_buffers(recurse=False):
            dtype = compute if buffer.is_floating_point() else buffer.dtype
            layer.register_buffer(name, buffer.to(device, dtype), persistent=name not in layer._non_persistent_buffers_set)
    return module


class Visitor:
    """A module that lives in the machine's memory and goes to a device to run. Its weights at home are pinned for a card."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self.module = module
        self.changed = False  # on the device, say by a style
        self._device = device
        self._tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
        self._home = [pinned(tensor.data) if device.type == "cuda" else tensor.data for tensor in self._tensors]

    def arrive(self) -> None:
        """Copy the weights over, all of them under way at once."""
        for tensor, home in zip(self._tensors, self._home, strict=True):
            tensor.data = home.to(self._device, non_blocking=True)

    def leave(self) -> None:
        """Drop the copies; they go back only if they were changed."""
        for tensor, home in zip(self._tensors, self._home, strict=True):
            if self.changed:
                home.copy_(tensor.data)
            tensor.data = home
        self.changed = False


def pinned(tensor: Tensor) -> Tensor:
    """In memory that a card reads by itself; as it is if there is no more of that."""
    try:
        return tensor.pin_memory()
    except RuntimeError:
        return tensor


class Stage:
    """The device, on which one group of modules stands at a time. Use under the device lock."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._group = ""
        self._here: dict[nn.Module, Visitor] = {}
        self._known: dict[nn.Module, Visitor] = {}

    def enter(self, group: str, module: nn.Module) -> None:
        """Bring `module` onto the device; those of other groups leave it first."""
        if group != self._group:
            self.clear()
            self._group = group
        if module not in self._here:
            visitor = self._known.get(module) or self._known.setdefault(module, Visitor(module, self._device))
            visitor.arrive()
            self._here[module] = visitor

    def change(self, module: nn.Module) -> None:
        """Its weights are being changed where they are: if that is the device, they have to be brought home once."""
        if module in self._here:
            self._here[module].changed = True

    def drop(self, module: nn.Module) -> None:
        """Forget a module that is no longer needed anywhere."""
        self._here.pop(module, None)
        self._known.pop(module, None)

    def clear(self) -> None:
        """Send everybody back into the machine's memory."""
        for visitor in self._here.values():
            visitor.leave()
        self._here = {}
