"""A network compiled by torch for one static shape after another, with CUDA graphs where there is a card.

torch gives up for good after eight shapes of one function, which all models share: here every shape is a compilation of its own,
the one that was not used for longest makes room for a new one, and a batch is filled up to one of a few sizes.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Hashable
from typing import Any

import torch
from cachetools import LRUCache
from torch import Tensor
from torch.utils import _pytree as pytree

from hypersd_app.engine.compilation import COMPILED, PLAIN
from hypersd_app.engine.memory.device import Hardware

logger = logging.getLogger(__name__)

BATCHES = (1, 2, 4, 8)  # larger ones stay as they are
KEPT = 24  # shapes of one network
# A count of compilations that is not shared with others, where this torch has it; its types don't know of it yet.
OWN_LIMITS: dict[str, Any] = {"recompile_limit": 2, "isolate_recompiles": True}
if not set(OWN_LIMITS) <= set(inspect.signature(torch.compile).parameters):
    OWN_LIMITS = {}


def filled_batch(count: int) -> int:
    """The number of rows that a batch of `count` is run with."""
    return next((size for size in BATCHES if size >= count), count)


def filled(values: Any, count: int, size: int) -> Any:
    """`values` with every tensor of `count` rows repeated to `size` rows; all else as it is."""

    def fill(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != count:
            return value
        return torch.cat([value, value[-1:].expand(size - count, *value.shape[1:])])

    return values if size == count else pytree.tree_map(fill, values)


def shapes(values: Any) -> Hashable:
    """What a compilation is for: the tree of arguments, shapes and kinds of its tensors, and all other values."""
    leaves, tree = pytree.tree_flatten(values)
    return tree, tuple((value.shape, value.dtype, value.stride()) if isinstance(value, Tensor) else value for value in leaves)


class CompiledNetwork:
    """Calls a network through its compilations. The rows of its first argument are the batch."""

    def __init__(self, call: Callable[..., Any], hardware: Hardware) -> None:
        self._call = call
        self._graphs = hardware.device == "cuda"
        self._made: LRUCache[Hashable, Callable[..., Any]] = LRUCache(KEPT)
        self._failed = False

    @property
    def state(self) -> str:
        """For people: what came of it. Nothing has run yet if that is empty."""
        return PLAIN if self._failed else COMPILED if self._made else ""

    @torch.no_grad()
    def __call__(self, first: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As `call`. What comes back is the caller's: a CUDA graph would write over it the next time."""
        if self._failed:
            return self._call(first, *args, **kwargs)
        count, size = len(first), filled_batch(len(first))
        values = filled((first, args, kwargs), count, size)
        try:
            found = self._compiled(values)
        except torch._dynamo.exc.TorchDynamoException as error:
            logger.warning("%s runs uncompiled: %s", getattr(self._call, "__qualname__", type(self._call).__name__), error)
            self._failed = True
            self._made.clear()
            return self._call(first, *args, **kwargs)
        return self._own(found, count, size)

    def _compiled(self, values: Any) -> Any:
        key = shapes(values)
        compiled = self._made.get(key)
        first, args, kwargs = values
        if compiled is not None:
            return compiled(first, *args, **kwargs)
        compiled = self._new()
        try:
            found = compiled(first, *args, **kwargs)
        except torch._dynamo.exc.FailOnRecompileLimitHit:
            torch.compiler.reset()  # a process has room for so many; those that are still needed are made again
            compiled = self._new()
            found = compiled(first, *args, **kwargs)
        self._made[key] = compiled
        return found

    def _new(self) -> Callable[..., Any]:
        mode = "reduce-overhead" if self._graphs else None
        made: Callable[..., Any] = torch.compile(self._call, dynamic=False, fullgraph=True, mode=mode, **OWN_LIMITS)
        return made

    def _own(self, found: Any, count: int, size: int) -> Any:
        def own(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            rows = value[:count] if value.ndim and len(value) == size else value
            return rows.clone() if self._graphs else rows

        return pytree.tree_map(own, found)


def maybe_compiled(call: Callable[..., Any], hardware: Hardware) -> Callable[..., Any]:
    """`call` compiled where the hardware says so."""
    return CompiledNetwork(call, hardware) if hardware.compile else call
