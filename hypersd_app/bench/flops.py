"""Operations of a forward pass, counted without computing it, and what this machine can do at best."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hypersd_app.engine.sampling.layout_cache import reads_layout

SIDE = 2048
SECONDS = 0.5


def ceiling_gflops(dtype: torch.dtype, device: str) -> float:
    """GFLOP/s of a large matrix product: the most that the networks could reach."""
    a = torch.randn(SIDE, SIDE, device=device).to(dtype)
    b = torch.randn(SIDE, SIDE, device=device).to(dtype)
    best, started = 0.0, time.perf_counter()
    while best == 0.0 or time.perf_counter() - started < SECONDS:
        begun = time.perf_counter()
        (a @ b)[0, 0].item()  # waits for the device
        best = max(best, 2 * SIDE**3 / (time.perf_counter() - begun) / 1e9)
    return best


def on_meta(module: nn.Module) -> nn.Module:
    """A copy without values."""
    return copy.deepcopy(module).to("meta") if next(module.parameters()).is_meta else _emptied(module)


def _emptied(module: nn.Module) -> nn.Module:
    with torch.device("meta"):
        made = type(module).from_config(module.config)  # type: ignore[attr-defined]
    return made.eval()


def gflop(module: nn.Module, *args: Any, **kwargs: Any) -> float:
    """GFLOP of one forward pass on meta tensors."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*args, **kwargs)
    return counter.get_total_flops() / 1e9


def unet_gflop(unet: Any, height: int, width: int, tokens: int, controlled: Any = None) -> float:
    """A UNet's step for one image of latents (height, width); with `controlled` (a ControlNet) only its own work."""
    config = unet.config
    latents = torch.zeros(1, config.in_channels, height, width, device="meta")
    hidden = torch.zeros(1, tokens, config.cross_attention_dim, device="meta")
    added: dict[str, Any] | None = None
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        added = {"text_embeds": torch.zeros(1, pooled, device="meta"), "time_ids": torch.zeros(1, 6, device="meta")}
    if controlled is not None and reads_layout(controlled[0]):
        added = {"layout": latents}
    t = torch.zeros(1, device="meta")
    if controlled is None:
        return gflop(on_meta(unet), latents, t, hidden, added_cond_kwargs=added)
    module, factor = controlled
    image = torch.zeros(1, 3, height * factor, width * factor, device="meta")
    return gflop(on_meta(module), latents, t, hidden, controlnet_cond=image, added_cond_kwargs=added)


def text_gflop(encoders: Sequence[Any], tokens: int) -> float:
    """The work of all text encoders for one prompt, padded to `tokens`."""
    ids = torch.zeros(1, tokens, dtype=torch.long)
    # Where their weights are: what Pocket's masks pad is read off the values, which the meta device has none of.
    with sdpa_kernel(SDPBackend.MATH):  # the counter does not know the processor's own attention
        return sum(gflop(encoder, ids.to(next(encoder.parameters()).device)) for encoder in encoders)


def decoder_gflop(vae: Any, height: int, width: int) -> float:
    """A decoder's work for one image."""
    module = on_meta(vae)
    latents = torch.zeros(1, vae.config.latent_channels, height, width, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.decode(latents)  # type: ignore[operator]
    return counter.get_total_flops() / 1e9
