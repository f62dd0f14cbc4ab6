"""Pocket's shapes: how its UNet, scheduler and ControlNet are configured, all diffusers classes."""

from __future__ import annotations

from diffusers import DDPMScheduler, UNet2DConditionModel

MAX_TOKENS = 32
LATENT_CHANNELS = 16
TEXT_DIMENSION = 384


def new_unet(channels: tuple[int, int, int] = (128, 256, 320), deep_layers: int = 1) -> UNet2DConditionModel:
    """The teacher's UNet: 16x16 latents, attention at 8x8 and 4x4, where it is cheap and most weights sit.

    A pooled reading of the whole caption joins the time embedding (`addition_embed_type="text"`): pipelines need
    nothing new for it, and concepts are learnt faster than through cross-attention alone.
    """
    return UNet2DConditionModel(
        sample_size=16,
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
    )


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
