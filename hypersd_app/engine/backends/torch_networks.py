"""The torch backend: diffusers modules on one device in one precision."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hypersd_app.engine.backends.compiled import maybe_compiled
from hypersd_app.engine.interfaces import Conditioning, Residuals
from hypersd_app.engine.memory.budget import free_bytes, is_out_of_memory, release
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.engine.sampling.layout_cache import LayoutCache, layout_prior
from hypersd_app.errors import HyperSDError
from hypersd_app.models.control_image import control_tensor

logger = logging.getLogger(__name__)

TILE = 512  # px
LIVE = 6  # tensors of the widest kind that decoding keeps at a time
Arrive = Callable[[], None]  # called before a network runs, so that its weights are there


def place(module: nn.Module, hardware: Hardware, dtype: torch.dtype) -> nn.Module:
    """`module` ready to serve: cast on the CPU, then moved, in channels-last order, which convolutions run fastest in."""
    module = nn.Module.to(module.eval().requires_grad_(False), dtype)  # not diffusers' own, which warns of every cast
    module = module.to(hardware.torch_device)
    return module.to(memory_format=torch.channels_last)


def added_conditions(conditioning: Conditioning, dtype: torch.dtype) -> dict[str, Tensor] | None:
    """SDXL's pooled text and sizes, or Pocket's layout, as diffusers' keyword; None for other families."""
    added = {"text_embeds": conditioning.pooled, "time_ids": conditioning.time_ids, "layout": conditioning.layout}
    return {name: value.to(dtype) for name, value in added.items() if value is not None} or None


def pixels(images: Tensor) -> Tensor:
    """What a VAE gives, (B, 3, H, W) in about [-1, 1], to uint8 (B, H, W, 3), rounded as diffusers rounds.

    A fourth channel, alpha, is left out: the colours are as they look on white.
    """
    return ((images[:, :3].float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def encoder_input(images: Tensor, channels: int) -> Tensor:
    """uint8 (B, H, W, 3) to what a VAE reads, float32 (B, channels, H, W) in [-1, 1]; a fourth channel is opaque alpha."""
    values = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    return values if channels == 3 else torch.cat([values, torch.ones_like(values[:, :1])], 1)


def input_channels(vae: Any) -> int:
    """Channels that a VAE's encoder reads: 3, or 4 with alpha."""
    return int(getattr(vae.config, "in_channels", 4))


def encoded(vae: Any, values: Tensor) -> Tensor:
    """The most likely latents of images as `encoder_input` gives them, scaled as UNets read them."""
    found = vae.encode(values, return_dict=False)[0]
    latents: Tensor = found if isinstance(found, Tensor) else found.mode()  # a tiny VAE gives latents, others a distribution
    return latents * float(vae.config.scaling_factor)


class TorchDenoiser:
    """A UNet2DConditionModel."""

    def __init__(self, unet: Any, hardware: Hardware, arrive: Arrive) -> None:
        self.module = unet
        self._arrive = arrive
        self.in_channels = int(unet.config.in_channels)
        self._dtype = hardware.dtype
        self._forward = maybe_compiled(unet, hardware)
        self.layouts = None if layout_prior(unet) is None else LayoutCache(self._layout)

    @property
    def state(self) -> str:
        """Whether it runs compiled, for people."""
        return getattr(self._forward, "state", "")

    def _layout(self, hidden: Tensor) -> Tensor:
        self._arrive()
        return self.module.layout(hidden.to(self._dtype))

    def __call__(self, latents: Tensor, t: Tensor, conditioning: Conditioning, residuals: Residuals | None) -> Tensor:
        self._arrive()
        return self._forward(
            latents.to(self._dtype, memory_format=torch.channels_last),
            t.to(latents.device),
            encoder_hidden_states=conditioning.hidden.to(self._dtype),
            added_cond_kwargs=added_conditions(conditioning, self._dtype),
            down_block_additional_residuals=None if residuals is None else residuals.down,
            mid_block_additional_residual=None if residuals is None else residuals.middle,
            return_dict=False,
        )[0].float()


class TorchControlNetwork:
    """A ControlNetModel."""

    def __init__(self, controlnet: Any, hardware: Hardware, arrive: Arrive) -> None:
        self.module = controlnet
        self._arrive = arrive
        self._dtype = hardware.dtype
        self._forward = maybe_compiled(controlnet, hardware)

    @property
    def state(self) -> str:
        """Whether it runs compiled, for people."""
        return getattr(self._forward, "state", "")

    def __call__(self, latents: Tensor, t: Tensor, conditioning: Conditioning, control: Tensor, scales: Tensor) -> Residuals:
        self._arrive()
        down, middle = self._forward(
            latents.to(self._dtype, memory_format=torch.channels_last),
            t.to(latents.device),
            encoder_hidden_states=conditioning.hidden.to(self._dtype),
            controlnet_cond=control_tensor(control).to(self._dtype),
            conditioning_scale=scales.to(self._dtype),
            added_cond_kwargs=added_conditions(conditioning, self._dtype),
            return_dict=False,
        )
        return Residuals(tuple(down), middle)


def vae_dtype(vae: Any, hardware: Hardware) -> torch.dtype:
    """The precision that a VAE computes in; one that overflows in float16 is cast to float32."""
    if hardware.dtype != torch.float16 or not getattr(vae.config, "force_upcast", False):
        return hardware.dtype
    vae.to(torch.float32)
    return torch.float32


class TorchEncoder:
    """The encoder of a VAE, full or tiny; one image at a time, for encoding takes as much memory as decoding."""

    def __init__(self, vae: Any, hardware: Hardware, arrive: Arrive) -> None:
        self.module = vae
        self._arrive = arrive
        self._channels = input_channels(vae)
        self._dtype = vae_dtype(vae, hardware)

    def __call__(self, images: Tensor) -> Tensor:
        self._arrive()
        rows = [encoder_input(row[None], self._channels) for row in images]
        found = [encoded(self.module, row.to(self._dtype, memory_format=torch.channels_last)).float() for row in rows]
        return torch.cat(found)


class TorchDecoder:
    """The decoder of a VAE, full or tiny; in tiles from the first image on for which memory is short."""

    def __init__(self, vae: Any, hardware: Hardware, arrive: Arrive) -> None:
        self.module = vae
        self._arrive = arrive
        self._device = hardware.device
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self._scale = float(vae.config.scaling_factor)
        self._dtype = vae_dtype(vae, hardware)
        self._decode = maybe_compiled(self._plain, hardware)
        self._tiled = False
        self.widened = ""  # for people: that it overflowed in its own precision, "" if it did not

    @property
    def state(self) -> str:
        """Whether it runs compiled, for people."""
        return getattr(self._decode, "state", "")

    def _plain(self, latents: Tensor) -> Tensor:
        decoded: Tensor = self.module.decode(latents, return_dict=False)[0]
        return decoded

    def __call__(self, latents: Tensor) -> Tensor:
        """Raises HyperSDError if it gives no numbers, in float32 neither."""
        self._arrive()
        decoded = self._decoded(latents)
        if self._dtype != torch.float32 and not bool(decoded.isfinite().all()):
            self._widen()
            decoded = self._decoded(latents)
        if not bool(decoded.isfinite().all()):
            raise HyperSDError("The decoder (VAE) gives no numbers for this image. Another decoder or model may do.")
        return pixels(decoded)

    def _decoded(self, latents: Tensor) -> Tensor:
        scaled = (latents / self._scale).to(self._dtype, memory_format=torch.channels_last)
        if not self._tiled and self._bytes(scaled) > free_bytes(self._device):
            self._tile()
        try:
            return self._plain(scaled) if self._tiled else self._decode(scaled)
        except (MemoryError, RuntimeError) as error:
            if self._tiled or not is_out_of_memory(error):
                raise
        release(self._device)
        self._tile()
        return self._plain(scaled)

    def _widen(self) -> None:
        """Compute in float32 from now on, on a copy: the module itself may have to come and go as it is."""
        name = str(self._dtype).removeprefix("torch.")
        logger.warning("the decoder gives no numbers in %s and goes on in float32", name)
        self.widened = f", decoder in float32 for it gives no numbers in {name}"
        self.module = copy.deepcopy(self.module).to(torch.float32)
        self._dtype = torch.float32

    def _bytes(self, latents: Tensor) -> int:
        """What decoding takes at its end, where images are widest, by a generous guess."""
        widest = 2 * int(self.module.config.block_out_channels[0])
        return latents.shape[0] * latents.shape[2] * latents.shape[3] * self.factor**2 * widest * latents.element_size() * LIVE

    def _tile(self) -> None:
        """Overlapping tiles whose seams are blended: slower, and off by a few steps of brightness near the seams."""
        logger.info("memory is short: images are decoded in tiles of %d px", TILE)
        self.module.enable_tiling()
        self.module.tile_sample_min_size = min(TILE, self.module.tile_sample_min_size)
        self.module.tile_latent_min_size = self.module.tile_sample_min_size // self.factor
        self._tiled = True
