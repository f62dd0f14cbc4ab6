"""What every backend offers: it turns loaded modules into networks that run, on its device and in its precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from hypersd_app.engine.interfaces import Conditioning, Denoiser
from hypersd_app.engine.loading.lora import Changes, StyleKey
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.engine.memory.model_cache import Loaded

UNetStyles = Sequence[tuple[StyleKey, float, Changes]]
Load = Callable[[torch.dtype], Any]


class StyledDenoiser(Denoiser, Protocol):
    """A UNet on which style LoRAs can act."""

    layout_code: int  # numbers of a layout's code, by which each image has its own words; 0: none

    def set_styles(self, styles: UNetStyles) -> None:
        """Make exactly these styles act from now on. Raises ModelUnavailable if one does not fit."""
        ...

    def prepared(self, words: Conditioning) -> Conditioning:
        """One prompt's conditioning with all that the UNet computes from words and styles alone."""
        ...


class Backend(Protocol):
    """Makes networks of modules. `load` reads the module into CPU memory in the precision it is given."""

    hardware: Hardware

    def text(self, modules: Sequence[nn.Module]) -> Loaded:
        """A function to call before the text encoders run, which `modules` are, and their bytes."""
        ...

    def text_dtype(self) -> torch.dtype:
        """The precision to read text encoders in."""
        ...

    def denoiser(self, name: str, load: Load) -> Loaded:
        """A `StyledDenoiser` and its bytes."""
        ...

    def controlnet(self, name: str, load: Load) -> Loaded:
        """A `ControlNetwork` and its bytes."""
        ...

    def decoder(self, name: str, load: Load) -> Loaded:
        """A `Decoder` and its bytes."""
        ...

    def encoder(self, name: str, load: Load) -> Loaded:
        """An `Encoder` and its bytes."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has done its work."""
        ...


def styles_key(styles: UNetStyles) -> tuple[tuple[StyleKey, float], ...]:
    """What names these styles, their files as they are now, and weights, and changes with them."""
    return tuple((style, weight) for style, weight, _ in styles)
