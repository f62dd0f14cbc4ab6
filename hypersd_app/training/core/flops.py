"""Floating-point operations of a block of code, by torch's own formulas, with the attention kernel of CPUs that they leave out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_backward_flop_count, sdpa_flop_count


def _attention(query: Any, key: Any, value: Any, *args: Any, **more: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *args: Any, **more: Any) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


def _shapes(value: Any) -> Any:
    return value.shape if isinstance(value, torch.Tensor) else value


_OPS = torch.ops.aten
_OWN: dict[Any, Callable[..., int]] = {
    _OPS._scaled_dot_product_flash_attention_for_cpu: _attention,
    _OPS._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def flop_counter() -> FlopCounterMode:
    """A block that counts; ask it for `get_total_flops()` afterwards."""
    return FlopCounterMode(display=False, custom_mapping=_OWN)


class PlainFlops(TorchDispatchMode):
    """Counts into `total`, by operator alone.

    torch's own counter also follows modules, by hooks that keep activations alive: memory cannot be measured beside it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made, packet = func(*args, **(kwargs or {})), func._overloadpacket
        if packet in _OWN:
            self.total += _OWN[packet](*(_shapes(value) for value in args))
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=made)
        return made
