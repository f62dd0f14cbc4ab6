"""What a backend offers the sampler: three networks, and the conditioning they read. Values are torch tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Text of B images: `hidden` is (B, L, D).

    SDXL has `pooled` (B, P) and `time_ids` (B, 6) besides, Pocket the `layout` (B, 16, 16, 16) that its prior predicts.
    """

    hidden: Tensor
    pooled: Tensor | None = None
    time_ids: Tensor | None = None
    layout: Tensor | None = None
    parts: tuple[Conditioning, ...] = ()  # what was stacked: identifies each row, since the same words may come in another batch

    def __len__(self) -> int:
        return len(self.hidden)

    @staticmethod
    def stack(parts: Sequence[Conditioning]) -> Conditioning:
        """One batch of several."""
        if len(parts) == 1:
            return parts[0]
        names = [field.name for field in fields(Conditioning) if field.name != "parts"]
        return Conditioning(**{name: _stacked([getattr(part, name) for part in parts]) for name in names}, parts=tuple(parts))


def _stacked(parts: Sequence[Tensor | None]) -> Any:
    """Rows of what all parts have or none has."""
    return None if parts[0] is None else torch.cat([part for part in parts if part is not None])


@dataclass(frozen=True)
class Residuals:
    """What a ControlNet adds to the UNet's skip connections, (B, C, H, W) each, and to its middle."""

    down: tuple[Tensor, ...]
    middle: Tensor


class Denoiser(Protocol):
    """A UNet."""

    in_channels: int

    def __call__(self, latents: Tensor, t: Tensor, conditioning: Conditioning, residuals: Residuals | None) -> Tensor:
        """The prediction for `latents` (B, C, h, w) at timestep `t` (scalar); float32."""
        ...


class ControlNetwork(Protocol):
    """A ControlNet."""

    def __call__(self, latents: Tensor, t: Tensor, conditioning: Conditioning, control: Tensor, scales: Tensor) -> Residuals:
        """Residuals for `control`, uint8 (B, H, W, 3), each image's multiplied by its own of `scales` (B, 1, 1, 1)."""
        ...


class Encoder(Protocol):
    """An encoder from images to scaled latents, what a `Decoder` takes."""

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) to (B, C, h, w) float32, without noise."""
        ...


class Decoder(Protocol):
    """A decoder from scaled latents, as the sampler leaves them, to images."""

    factor: int  # pixels a latent

    def __call__(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) float32 to uint8 (B, H, W, 3), rounded as diffusers rounds."""
        ...
