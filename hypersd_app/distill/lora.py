"""LoRA on a UNet: adding one to train, and writing the file that diffusers and Civitai tools read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

ATTENTION_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
CONVOLUTION_TARGETS = ("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv")
END_TARGETS = ("conv_in", "conv_out", "time_emb_proj")


def add_lora(unet: UNet2DConditionModel, rank: int, name: str, ends: bool = False) -> None:
    """Freeze `unet` and give it a trainable adapter `name` on all attention and convolution layers."""
    unet.requires_grad_(False)
    targets = [*ATTENTION_TARGETS, *CONVOLUTION_TARGETS, *(END_TARGETS if ends else ())]
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, init_lora_weights="gaussian"), adapter_name=name)
    for key, parameter in unet.named_parameters():
        parameter.requires_grad_("lora_" in key and f".{name}." in key)


def save_lora(
    unet: UNet2DConditionModel, name: str, path: Path, metadata: Mapping[str, str], dtype: torch.dtype = torch.float16
) -> None:
    """Write adapter `name` as one safetensors file with `unet.`-prefixed names, as StableDiffusionPipeline saves them."""
    # PEFT's own names throughout: diffusers' converter renames attention layers only, and its loader then skips them.
    state = get_peft_model_state_dict(unet, adapter_name=name)
    tensors = {f"{StableDiffusionPipeline.unet_name}.{key}": value.to(dtype).contiguous() for key, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"format": "pt", **metadata})


def fuse_lora(unet: UNet2DConditionModel, path: Path, scale: float = 1.0) -> None:
    """Add a LoRA file's weights to the UNet's own, leaving no adapter behind."""
    unet.load_lora_adapter(str(path), prefix=StableDiffusionPipeline.unet_name)
    unet.fuse_lora(lora_scale=scale)
    unet.unload_lora()
