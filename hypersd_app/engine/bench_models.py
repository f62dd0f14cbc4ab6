"""SD1.5 and SDXL at full size with random weights: their values change nothing about their speed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import transformers
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from torch import nn

from hypersd_app.catalog.rows import ControlSpec, DecoderSpec, ModelSpec, Recipe
from hypersd_app.engine.hub import Hub, Progress
from hypersd_app.engine.loading import Loader
from hypersd_app.engine.prompts import PromptEncoder

TOKENS = 77
DEVIATION = 0.02
SDXL_SHAPE: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
}
SD15_SHAPE: dict[str, Any] = {"cross_attention_dim": 768, "attention_head_dim": 8}
SDXL_UP = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1, "clip_sample": False}


class RandomTokenizer:
    """Always the same tokens, as many as CLIP reads."""

    model_max_length = TOKENS

    def __call__(self, text: str, **_: Any) -> Any:
        ids = torch.full((1, TOKENS), 49407)
        ids[0, 0] = 49406
        return SimpleNamespace(input_ids=ids, attention_mask=torch.ones_like(ids))


class RandomLoader(Loader):
    """Makes what `Loader` reads."""

    def __init__(self, hub: Hub, dtype: torch.dtype, family: str) -> None:
        super().__init__(hub, dtype)
        self.family = family

    def text(self, model: ModelSpec, progress: Progress | None = None) -> PromptEncoder:
        """CLIP ViT-L, and OpenCLIP ViT-bigG beside it for SDXL."""
        small = transformers.CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12)
        encoders: list[Any] = [filled(lambda: transformers.CLIPTextModel(small), self.dtype)]
        if self.family == "sdxl":
            big = transformers.CLIPTextConfig(
                hidden_size=1280, intermediate_size=5120, num_attention_heads=20, num_hidden_layers=32, projection_dim=1280
            )
            encoders.append(filled(lambda: transformers.CLIPTextModelWithProjection(big), self.dtype))
        return PromptEncoder([RandomTokenizer() for _ in encoders], encoders, True)

    def unet(self, model: ModelSpec, recipe: Recipe, progress: Progress | None = None) -> Any:
        """A UNet of the family's true shape."""
        return filled(lambda: new_unet(self.family), self.dtype)

    def decoder(self, model: ModelSpec, decoder: DecoderSpec, progress: Progress | None = None) -> Any:
        """A decoder of the true shape."""
        if decoder.class_name == "AutoencoderTiny":
            return filled(AutoencoderTiny, self.dtype)
        return filled(new_vae, self.dtype)

    def controlnet(self, control: ControlSpec, progress: Progress | None = None) -> Any:
        """A ControlNet of the true shape."""
        return filled(lambda: new_controlnet(self.family), self.dtype)

    def scheduler_config(self, model: ModelSpec, progress: Progress | None = None) -> dict[str, Any]:
        """The schedule that both families share."""
        return dict(SCHEDULE)


def new_unet(family: str) -> UNet2DConditionModel:
    """The true shape."""
    if family == "sdxl":
        return UNet2DConditionModel(sample_size=128, up_block_types=SDXL_UP, **SDXL_SHAPE)
    return UNet2DConditionModel(sample_size=64, **SD15_SHAPE)


def new_controlnet(family: str) -> ControlNetModel:
    """The true shape."""
    return ControlNetModel(**(SDXL_SHAPE if family == "sdxl" else SD15_SHAPE))


def new_vae() -> AutoencoderKL:
    """The true shape, the same for both."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        scaling_factor=0.18215,
    )


def filled(make: Any, dtype: torch.dtype) -> Any:
    """A module whose parameters are random: made without the library's own slow initialisation."""
    with torch.device("meta"):
        module: nn.Module = make()
    module = nn.Module.to_empty(nn.Module.to(module, dtype), device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, DEVIATION, generator=generator)
        for name, buffer in module.named_buffers():
            if name.endswith("position_ids"):
                buffer.copy_(torch.arange(buffer.shape[-1]).expand(buffer.shape))
            else:
                buffer.zero_()
    return module.eval()
