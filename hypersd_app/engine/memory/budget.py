"""How much memory there is, how much a module takes, and telling running out of it from other failures."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from hypersd_app.errors import DeviceOutOfMemory
from hypersd_app.system import available_bytes, c_library

logger = logging.getLogger(__name__)

SHARE = 0.75  # of what is free: activations and the rest of the machine need room too
OUT_OF_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "failed to allocate")


def module_bytes(module: nn.Module) -> int:
    """Bytes of all parameters and buffers, shared ones once."""
    tensors = {tensor.data_ptr(): tensor for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def device_bytes(module: nn.Module, device: torch.device) -> int:
    """Bytes of what of a module lies on `device`."""
    there = (tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.device.type == device.type)
    return sum(tensor.numel() * tensor.element_size() for tensor in {tensor.data_ptr(): tensor for tensor in there}.values())


def memory_budget(device: str, gigabytes: float, share: float = 1.0) -> int:
    """Bytes that resident models may take: as set, or three quarters of what is free on the device, or of our share of a card."""
    if gigabytes > 0:
        return int(gigabytes * 1e9)
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        return int(min(free, total * share) * SHARE)
    return int(available_bytes() * SHARE)


def free_bytes(device: str) -> int:
    """Bytes that could be allocated now: what the device has left, with what torch keeps of it for later."""
    if device == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return int(free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())
    return available_bytes()


@contextmanager
def out_of_memory_named(doing: str) -> Iterator[None]:
    """Turn every way of running out of memory into DeviceOutOfMemory; other errors pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        raise_if_out_of_memory(error, doing)
        raise


def is_out_of_memory(error: Exception) -> bool:
    """Whether that is what `error` means."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return any(words in str(error).lower() for words in OUT_OF_MEMORY_WORDS)


def raise_if_out_of_memory(error: Exception, doing: str) -> None:
    """Raise DeviceOutOfMemory if that is what `error` means."""
    if not is_out_of_memory(error):
        return
    logger.warning("out of memory while %s: %s", doing, error)
    message = f"Out of memory while {doing}. Memory was freed: try again, or fewer or smaller images."
    raise DeviceOutOfMemory(message) from error


def release(device: str) -> None:
    """Give freed memory back to the device and to the system."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
    # glibc keeps what was freed in small pieces; without this the process of a server only ever grows.
    trim = getattr(c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)
