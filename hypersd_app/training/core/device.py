"""Where training computes, in which precision and memory layout: decided here and nowhere else.

Emulated bfloat16 is hundreds of times slower than float32 (a matrix product on an AVX2 processor), so it is used only
where the device multiplies it natively.
"""

from __future__ import annotations

import functools
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.system import has_native_bfloat16

M = TypeVar("M", bound=nn.Module)


@functools.cache
def training_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@functools.cache
def compute_dtype() -> torch.dtype:
    """bfloat16 where the device computes in it natively, else float32. MPS stays in float32: its autocast lacks operators."""
    kind = training_device().type
    native = (kind == "cuda" and torch.cuda.is_bf16_supported()) or (kind == "cpu" and has_native_bfloat16())
    return torch.bfloat16 if native else torch.float32


def computes_in_bfloat16() -> bool:
    """Whether forward passes run in bfloat16."""
    return compute_dtype() == torch.bfloat16


def memory_format() -> torch.memory_format:
    """Channels last for bfloat16 convolutions; float32 ones measured a tenth faster with plain layouts on the CPU."""
    return torch.channels_last if computes_in_bfloat16() else torch.contiguous_format


def mixed_precision() -> torch.autocast:
    """The context of forward passes: autocast to bfloat16, or nothing."""
    return torch.autocast(training_device().type, torch.bfloat16, enabled=computes_in_bfloat16())


class Float32Conv2d(nn.Conv2d):
    """A convolution that computes in float32 inside of autocast as well."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            bias = None if self.bias is None else self.bias.float()
            return functional.conv2d(
                input.float(),
                self.weight.float(),
                bias,
                self.stride,
                self.padding,
                self.dilation,
                self.groups,
            )


def in_float32(module: M) -> M:
    """A network's last layer, whose bfloat16 error in eps a conversion to x0 near t = T - 1 multiplies by up to 14."""
    for layer in module.modules():
        if type(layer) is nn.Conv2d:
            layer.__class__ = Float32Conv2d
    return module


def place(module: M) -> M:
    """A network on the training device, in `memory_format`."""
    return module.to(device=training_device()).to(memory_format=memory_format())


def to_device(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors on the training device."""
    return tuple(tensor.to(training_device()) for tensor in tensors)


def images_to_device(images: Tensor) -> Tensor:
    """A network's (B, C, H, W) input on the training device, in `memory_format`."""
    return images.to(training_device()).contiguous(memory_format=memory_format())
