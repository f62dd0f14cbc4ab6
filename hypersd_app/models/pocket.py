"""Pocket's UNet and scheduler: diffusers' own, but the UNet is shown its caption's layout beside the noisy latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from hypersd_app.models.configs import signature_with
from hypersd_app.models.layout import LayoutPrior, LayoutSize, changed, coded, size_of, without_code
from hypersd_app.models.legacy_keys import LegacyKeysMixin
from hypersd_app.models.shapes import LATENT_CHANNELS, LATENT_SIDE, LAYOUT_CHANGE, TEXT_DIMENSION


class PocketUNet(LegacyKeysMixin, UNet2DConditionModel):
    """UNet2DConditionModel whose first convolution reads the noisy latents concatenated with the `LayoutPrior`'s output.

    Global layout is the slowest thing for a UNet to learn. Here it starts from the prior's blurred guess and learns to
    sharpen it. The prior is trained first and then frozen. With `layout_size` the prior reads a code: the text has one token
    more, see `with_code`.
    """

    def __init__(self, *args: Any, layout_size: Mapping[str, int] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_to_config(layout_size=layout_size)
        seen, width = self.config.in_channels, self.config.block_out_channels[0]
        self.conv_in = nn.Conv2d(2 * seen, width, 3, padding=1)
        self.layout = LayoutPrior(LayoutSize(**(layout_size or {}))).requires_grad_(False)

    # diffusers reads the signature to know what belongs to the config.
    __init__.__signature__ = signature_with(UNet2DConditionModel, "layout_size")  # type: ignore[attr-defined]

    # Channels of the residuals a ControlNet passes before diffusers' own, at the latents' size.
    leading_residuals = (LAYOUT_CHANGE,)

    def with_layout(
        self, sample: Tensor, encoder_hidden_states: Tensor, change: Tensor | None = None, layout: Tensor | None = None
    ) -> Tensor:
        """The input of `conv_in`, (B, 32, 16, 16). `change` is a sketch's, see `changed`; `layout` is computed unless given."""
        if layout is None:
            layout = self.layout(encoder_hidden_states)
        if change is not None:
            layout = changed(layout, change)
        return torch.cat([sample, layout], 1)

    def forward(
        self,
        sample: Tensor,
        timestep: Any,
        encoder_hidden_states: Tensor,
        *args: Any,
        added_cond_kwargs: Mapping[str, Tensor] | None = None,
        down_block_additional_residuals: Sequence[Tensor] | None = None,
        **kwargs: Any,
    ) -> Any:
        """As UNet2DConditionModel's. `added_cond_kwargs["layout"]` is the prior's output, if the caller has it already."""
        change, *down = down_block_additional_residuals or (None,)
        seen = self.with_layout(sample, encoder_hidden_states, change, (added_cond_kwargs or {}).get("layout"))
        encoder_hidden_states = without_code(encoder_hidden_states, self.layout.size)
        residuals = None if down_block_additional_residuals is None else tuple(down)
        return super().forward(seen, timestep, encoder_hidden_states, *args, down_block_additional_residuals=residuals, **kwargs)


def with_code_of(unet: Any, text: Tensor, noise: Tensor | None) -> Tensor:
    """Embeddings (B, L, 384) as `unet` reads them, see `coded`. `noise` None: the unconditional text, which has no layout."""
    return coded(text, unet.layout.size, noise) if isinstance(unet, PocketUNet) else text


def new_unet(
    channels: tuple[int, int, int] = (128, 256, 320),
    deep_layers: int = 1,
    layout: LayoutSize = LayoutSize(),  # noqa: B008
) -> PocketUNet:
    """The teacher's untrained UNet: 16x16 latents, attention at 8x8 and 4x4, where it is cheap and most weights sit.

    The pooled caption joins the time embedding (`addition_embed_type="text"`): pipelines need nothing new for it, and
    concepts train faster than through cross-attention alone.
    """
    return PocketUNet(
        sample_size=LATENT_SIDE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, deep_layers),
        attention_head_dim=tuple(width // 64 for width in channels),
        cross_attention_dim=TEXT_DIMENSION,
        addition_embed_type="text",
        addition_embed_type_num_heads=6,
        layout_size=layout.to_json() if layout.code else None,
    )


def with_prior(unet: PocketUNet, state: Mapping[str, Tensor]) -> PocketUNet:
    """`unet` with the layout prior of these weights in its own one's place, which may be of another size."""
    size = size_of(state)
    if size != unet.layout.size:
        kept = {name: value for name, value in unet.state_dict().items() if not name.startswith("layout.")}
        unet = PocketUNet.from_config(unet.config, layout_size=size.to_json() if size.code else None)
        unet.load_state_dict(kept, strict=False)
    unet.layout.load_state_dict(state)
    return unet


def new_scheduler() -> DDPMScheduler:
    """The training schedule: v-prediction with zero terminal SNR (Lin et al., 2024), trailing timesteps."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )
