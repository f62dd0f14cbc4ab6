"""Pocket's ControlNet: diffusers' own, but the control picture is unshuffled instead of convolved at full size."""

from __future__ import annotations

import functools
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn


class UnshuffledConditioning(nn.Module):
    """(B, 3, 16 H, 16 W) control picture to (B, channels, H, W) features; starts at zero, as ControlNet asks."""

    def __init__(self, channels: int, hidden: int = 96) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(8),
            nn.Conv2d(3 * 64, hidden, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(hidden, channels, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
        )
        self.out = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, conditioning: Tensor) -> Tensor:
        return self.out(self.layers(conditioning))


class PocketControlNet(ControlNetModel):
    """ControlNetModel for 16x latents at half the UNet's width: each residual leaves through a convolution to twice its channels.

    Half a width is a quarter of the work, and a sketch says less than a caption. Full-resolution convolutions of 16
    channels, as in the original's picture input, would cost a CPU more than all the rest.
    """

    # diffusers reads the signature to know what belongs to the config.
    @functools.wraps(ControlNetModel.__init__)  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.controlnet_cond_embedding = UnshuffledConditioning(self.config.block_out_channels[0])
        self.controlnet_down_blocks = nn.ModuleList(doubling(layer.in_channels) for layer in self.controlnet_down_blocks)  # type: ignore[has-type]
        self.controlnet_mid_block = doubling(self.controlnet_mid_block.in_channels)  # type: ignore[has-type]

    @classmethod
    def for_unet(cls, unet: UNet2DConditionModel) -> PocketControlNet:
        """An untrained ControlNet whose residuals fit `unet`, and change nothing yet."""
        config = unet.config
        return cls(
            in_channels=config.in_channels,
            down_block_types=config.down_block_types,
            block_out_channels=tuple(width // 2 for width in config.block_out_channels),
            layers_per_block=config.layers_per_block,
            cross_attention_dim=config.cross_attention_dim,
            attention_head_dim=tuple(max(1, heads // 2) for heads in config.attention_head_dim),
            transformer_layers_per_block=config.transformer_layers_per_block,
            addition_embed_type=config.addition_embed_type,
            addition_embed_type_num_heads=config.addition_embed_type_num_heads,
        )


def doubling(channels: int) -> nn.Conv2d:
    """A 1x1 convolution to twice as many channels that starts at zero, as every ControlNet output does."""
    layer = nn.Conv2d(channels, 2 * channels, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def control_tensor(pictures: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W) in [0, 1], the range ControlNets are trained on."""
    return pictures.permute(0, 3, 1, 2).to(torch.float32) / 255
