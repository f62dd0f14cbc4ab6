"""Pocket's ControlNet: diffusers' ControlNet at half width, reading the control image by pixel-unshuffle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.controlnets.controlnet import ControlNetOutput
from torch import Tensor, nn

from hypersd_app.models.configs import signature_with
from hypersd_app.models.fitting import box, fitted
from hypersd_app.models.layout import LayoutSize, without_code
from hypersd_app.models.legacy_keys import LegacyKeysMixin, accept_legacy_keys
from hypersd_app.models.shapes import LATENT_CHANNELS, LATENT_SIDE, LAYOUT_CHANGE, TEXT_DIMENSION


class UnshuffledConditioning(nn.Module):
    """Control images (B, 3, 16 H, 16 W) to features (B, channels, H, W); zero-initialised, as in ControlNet."""

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


class SketchBlock(nn.Module):
    """ConvNeXt block (Liu et al., 2022) with FiLM on the sentence embedding; 7x7 kernels see enclosed areas."""

    def __init__(self, width: int, sentence: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.film = nn.Linear(sentence, 2 * width)
        self.mlp = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.GELU(), nn.Conv2d(2 * width, width, 1))

    def forward(self, x: Tensor, sentence: Tensor) -> Tensor:
        scale, shift = self.film(sentence)[..., None, None].chunk(2, 1)
        return x + self.mlp(self.norm(self.dwconv(x)) * (1 + scale) + shift)


class DrawnLayout(nn.Module):
    """Predicts what a sketch changes of a caption's layout: new latents, and a weight (B, 1, 16, 16) to blend them in by.

    The layout prior expects things in the middle and in their usual colours; people draw anywhere and in any colour. So the
    network sees the prior's layout as it is and once more fitted to the box of the ink, and predicts how much of it to keep.
    Like the prior it is a regression without noise, which trains ten times as fast as the UNet's residuals do. Control
    images (B, 3, 256, 256), caption embeddings (B, L, 384) and layouts (B, 16, 16, 16) to (B, 17, 16, 16).
    """

    INKED = 0.25  # of full strength: above it a pixel counts as ink
    THERE = 0.4  # of the strongest cell: above it a layout's cell belongs to the thing
    blank: Tensor

    def __init__(self, width: int = 128, blocks: int = 6, sentence: int = 128) -> None:
        super().__init__()
        self.patch_embed = nn.Sequential(
            nn.PixelUnshuffle(8), nn.Conv2d(3 * 64, 96, 1), nn.SiLU(), nn.Conv2d(96, width, 3, stride=2, padding=1)
        )
        self.layout_embed = nn.Conv2d(2 * LATENT_CHANNELS, width, 3, padding=1)
        self.text_proj = nn.Sequential(nn.Linear(TEXT_DIMENSION, sentence), nn.SiLU())
        self.blocks = nn.ModuleList(SketchBlock(width, sentence) for _ in range(blocks))
        # Latents, their weight, and how much of the fitted layout they keep.
        self.out = nn.Sequential(nn.GroupNorm(1, width), nn.Conv2d(width, LAYOUT_CHANGE + 1, 1))
        nn.init.zeros_(self.out[1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.out[1].bias)  # type: ignore[arg-type]
        self.register_buffer("blank", torch.zeros(LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE))  # latents of white paper
        accept_legacy_keys(self)

    def forward(self, conditioning: Tensor, text: Tensor, layout: Tensor) -> Tensor:
        tokens = text.abs().sum(-1, keepdim=True).gt(0).sum(1).clamp(min=1)  # padding is zeros
        sentence = self.text_proj(text.sum(1) / tokens)
        expected = layout - self.blank
        there = self.fitted_to(conditioning, expected)
        x = self.patch_embed(conditioning) + self.layout_embed(torch.cat([expected, there], 1))
        for block in self.blocks:
            x = block(x, sentence)
        latents, weight, kept = self.out(x).split([LATENT_CHANNELS, 1, 1], 1)
        return torch.cat([latents + kept * (there + self.blank), weight], 1)

    def fitted_to(self, conditioning: Tensor, expected: Tensor) -> Tensor:
        """Fits a layout minus white paper, (B, 16, 16, 16), into the bounding box of the control image's ink."""
        strength = expected.square().mean(1)
        source = box(strength, self.THERE**2 * strength.amax((1, 2), keepdim=True))
        return fitted(expected, source, box(conditioning.amax(1), self.INKED))


class PocketControlNet(LegacyKeysMixin, ControlNetModel):
    """ControlNetModel for 16x latents at half the UNet's width: 1x1 convolutions double the channels of each residual.

    Half the width is a quarter of the work, and a sketch carries less than a caption. The original's full-resolution
    convolutions on the control image would cost a CPU more than all the rest. The first residual is the change of the
    layout that `PocketUNet` starts from.
    """

    reads_layout = True

    def __init__(self, *args: Any, layout_size: Mapping[str, int] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_to_config(layout_size=layout_size)
        self.layout_size = LayoutSize(**(layout_size or {}))
        self.controlnet_cond_embedding = UnshuffledConditioning(self.config.block_out_channels[0])
        self.controlnet_down_blocks = nn.ModuleList(doubling(layer.in_channels) for layer in self.controlnet_down_blocks)  # type: ignore[has-type]
        self.controlnet_mid_block = doubling(self.controlnet_mid_block.in_channels)  # type: ignore[has-type]
        self.drawn = DrawnLayout()
        self._prior: tuple[nn.Module, ...] = ()

    # diffusers reads the signature to know what belongs to the config.
    __init__.__signature__ = signature_with(ControlNetModel, "layout_size")  # type: ignore[attr-defined]

    def use_prior_of(self, unet: Any) -> None:
        """Compute layouts with this `PocketUNet`'s prior where the caller passes none, as diffusers' pipelines do."""
        self._prior = (unet.layout,)  # in a tuple, where torch does not see it: the weights are the UNet's

    def forward(
        self,
        sample: Tensor,
        timestep: Any,
        encoder_hidden_states: Tensor,
        controlnet_cond: Tensor,
        conditioning_scale: float | Tensor = 1.0,
        *args: Any,
        added_cond_kwargs: Mapping[str, Tensor] | None = None,
        return_dict: bool = True,
        **kwargs: Any,
    ) -> Any:
        """As ControlNetModel's; `added_cond_kwargs["layout"]` is the output of the UNet's layout prior.

        Raises ValueError without it, unless `use_prior_of` was called.
        """
        layout = (added_cond_kwargs or {}).get("layout")
        if layout is None:
            if not self._prior:
                raise ValueError("no layout in added_cond_kwargs: hand one over or call use_prior_of(unet)")
            layout = self._prior[0](encoder_hidden_states)
        encoder_hidden_states = without_code(encoder_hidden_states, self.layout_size)
        down, middle = super().forward(
            sample, timestep, encoder_hidden_states, controlnet_cond, conditioning_scale, *args, return_dict=False, **kwargs
        )
        change = self.drawn(controlnet_cond, encoder_hidden_states, layout) * conditioning_scale
        if not return_dict:
            return (change, *down), middle
        return ControlNetOutput(down_block_res_samples=(change, *down), mid_block_res_sample=middle)

    @classmethod
    def for_unet(cls, unet: UNet2DConditionModel) -> PocketControlNet:
        """An untrained ControlNet for `unet`; its residuals are zero."""
        config = unet.config
        return cls(
            in_channels=config.in_channels,
            # No attention: the layout, which it reads, says which words belong where; saves a fifth of its time.
            down_block_types=("DownBlock2D",) * len(config.down_block_types),
            mid_block_type="UNetMidBlock2D",
            block_out_channels=tuple(width // 2 for width in config.block_out_channels),
            layers_per_block=config.layers_per_block,
            cross_attention_dim=config.cross_attention_dim,
            attention_head_dim=tuple(max(1, heads // 2) for heads in config.attention_head_dim),
            addition_embed_type=config.addition_embed_type,
            addition_embed_type_num_heads=config.addition_embed_type_num_heads,
            layout_size=config.get("layout_size"),
        )


def doubling(channels: int) -> nn.Conv2d:
    """A zero-initialised 1x1 convolution to twice as many channels, as every ControlNet output is."""
    layer = nn.Conv2d(channels, 2 * channels, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
