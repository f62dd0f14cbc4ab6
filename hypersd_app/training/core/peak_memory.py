"""The bytes of the tensors that are alive while a function runs, and their peak: on real tensors or on fake ones."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary


class PeakMemory(TorchDispatchMode):
    """Counts the storages that operators make while it is active; `peak` is the largest sum alive at once, in bytes.

    What operators allocate inside and free before they return is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._live = 0
        self._known: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and leaf.device.type != "meta" and id(leaf.untyped_storage()) not in given:
                self._add(leaf.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage not in self._known:
            self._known[storage] = True
            self._live += storage.nbytes()
            self.peak = max(self.peak, self._live)
            weakref.finalize(storage, self._remove, storage.nbytes())

    def _remove(self, size: int) -> None:
        self._live -= size


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """The sum of their sizes."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def become_fake(module: nn.Module) -> None:
    """Puts fake CPU tensors in place of parameters and buffers on the meta device; call inside of a FakeTensorMode.

    Autocast does not know the meta device.
    """
    for layer in module.modules():
        for name, parameter in list(layer._parameters.items()):
            if parameter is not None:
                fake = torch.empty(parameter.shape, dtype=parameter.dtype, device="cpu")
                layer._parameters[name] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
        for name, buffer in list(layer._buffers.items()):
            if buffer is not None:
                layer._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cpu")
