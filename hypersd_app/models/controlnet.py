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
    """ControlNetModel for 16x latents. Full-resolution convolutions of 16 channels cost a CPU more than the rest."""

    # diffusers reads the signature to know what belongs to the config.
    @functools.wraps(ControlNetModel.__init__)  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.controlnet_cond_embedding = UnshuffledConditioning(self.config.block_out_channels[0])  # type: ignore[assignment]

    @classmethod
    def from_teacher(cls, unet: UNet2DConditionModel) -> PocketControlNet:
        """A ControlNet that starts as a copy of the teacher's encoder (Zhang et al., 2023)."""
        names = (
            "in_channels", "down_block_types", "block_out_channels", "layers_per_block", "cross_attention_dim",
            "attention_head_dim", "transformer_layers_per_block", "addition_embed_type", "addition_embed_type_num_heads",
        )  # fmt: skip
        model = cls(**{name: unet.config[name] for name in names})
        for part in ("conv_in", "time_proj", "time_embedding", "add_embedding", "down_blocks", "mid_block"):
            getattr(model, part).load_state_dict(getattr(unet, part).state_dict())
        return model


def control_tensor(pictures: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W) in [0, 1], the range ControlNets are trained on."""
    return pictures.permute(0, 3, 1, 2).to(torch.float32) / 255
