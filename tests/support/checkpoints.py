"""Small diffusers pipelines as single-file checkpoints: the way back from what diffusers' converters do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING
from safetensors.torch import save_file
from torch import Tensor

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "self_attn.out": "attn.out",
}  # fmt: skip


def write_checkpoint(path: Path, pipeline: Any) -> Path:
    """One file with everything that the pipeline has, under the names of the original code."""
    large = hasattr(pipeline, "text_encoder_2")
    tensors = {f"model.diffusion_model.{unet_name(k, pipeline.unet.config)}": v for k, v in pipeline.unet.state_dict().items()}
    levels = len(pipeline.vae.config.block_out_channels)
    for key, value in pipeline.vae.state_dict().items():
        name = vae_name(key, levels)
        tensors[f"first_stage_model.{name}"] = value[:, :, None, None] if "attn_1" in name and value.ndim == 2 else value
    prefix = "conditioner.embedders.0.transformer." if large else "cond_stage_model.transformer."
    for key, value in pipeline.text_encoder.state_dict().items():
        tensors[f"{prefix}text_model.{key.removeprefix('text_model.')}"] = value
    if large:
        tensors |= {f"conditioner.embedders.1.model.{k}": v for k, v in open_clip(pipeline.text_encoder_2.state_dict()).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return path


KINDS = {  # names that tell what a checkpoint is, with shapes; the parts of an SD1.5 file where nothing else is said
    "sd15": {"cond_stage_model.transformer.text_model.x": (1,)},
    "sdxl": {"conditioner.embedders.0.transformer.x": (1,), "conditioner.embedders.1.model.x": (1,)},
    "sd2": {"cond_stage_model.model.x": (1,)},
    "refiner": {"conditioner.embedders.0.model.x": (1,)},
}


def checkpoint_tensors(kind: str = "sd15", inputs: int = 4, **more: tuple[int, ...]) -> dict[str, Tensor]:
    """The few tensors by which a checkpoint is known."""
    shapes = {"model.diffusion_model.input_blocks.0.0.weight": (4, inputs, 3, 3), "first_stage_model.decoder.x": (1,)}
    return {name: torch.zeros(shape) for name, shape in {**shapes, **KINDS[kind], **more}.items()}


def unet_name(key: str, config: Any) -> str:
    """`down_blocks.0.resnets.1.conv1.weight` to `input_blocks.2.0.in_layers.2.weight`."""
    fixed = {**DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"], **DIFFUSERS_TO_LDM_MAPPING["unet"]["addition_embed_type"]}
    if key in fixed:
        return fixed[key]
    place, kind, layer, rest = re.fullmatch(r"(.*?)\.?(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", key).groups()
    slot, number = {"resnets": 0, "attentions": 1, "downsamplers": 0, "upsamplers": 1}[kind], int(layer)
    if kind == "resnets":
        rest = renamed(rest, RESNET)
    if place == "mid_block":
        return f"middle_block.{2 * number if kind == 'resnets' else 1}.{rest}"
    side, block = place.split(".")
    size = config.layers_per_block + 1
    if kind == "downsamplers":
        return f"input_blocks.{(int(block) + 1) * size}.0.{rest.replace('conv', 'op', 1)}"
    if kind == "upsamplers":
        number = size - 1
        slot = 2 if "CrossAttn" in config.up_block_types[int(block)] else 1
    down = side == "down_blocks"
    return f"{'input' if down else 'output'}_blocks.{int(block) * size + number + down}.{slot}.{rest}"


def vae_name(key: str, levels: int) -> str:
    """`decoder.up_blocks.0.resnets.1.conv1.weight` to `decoder.up.3.block.1.conv1.weight`."""
    fixed = DIFFUSERS_TO_LDM_MAPPING["vae"]
    if key in fixed:
        return fixed[key]
    half, rest = key.split(".", 1)
    rest = rest.replace("conv_shortcut", "nin_shortcut")
    if rest.startswith("mid_block.attentions.0."):
        return f"{half}.mid.attn_1.{renamed(rest.removeprefix('mid_block.attentions.0.'), ATTENTION)}"
    if rest.startswith("mid_block.resnets."):
        number, rest = rest.removeprefix("mid_block.resnets.").split(".", 1)
        return f"{half}.mid.block_{int(number) + 1}.{rest}"
    side, block, kind, number, rest = rest.split(".", 4)
    level = int(block) if side == "down_blocks" else levels - 1 - int(block)
    part = {"resnets": f"block.{number}", "downsamplers": "downsample", "upsamplers": "upsample"}[kind]
    return f"{half}.{side.removesuffix('_blocks')}.{level}.{part}.{rest}"


def renamed(name: str, names: dict[str, str]) -> str:
    """The name with its first known part replaced."""
    for old, new in names.items():
        if name.startswith(f"{old}."):
            return new + name.removeprefix(old)
    return name


def open_clip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A text encoder as OpenCLIP keeps it: one matrix for query, key and value, the projection transposed."""
    layers = {new: old for old, new in DIFFUSERS_TO_LDM_MAPPING["openclip"]["layers"].items()}
    found = {name: state[key] for name, key in layers.items()}
    found["text_projection"] = state["text_projection.weight"].T
    for key, value in state.items():
        if ".layers." not in key:
            continue
        number, rest = key.split(".layers.")[1].split(".", 1)
        if not rest.startswith(("self_attn.q", "self_attn.k", "self_attn.v")):
            found[f"transformer.resblocks.{number}.{renamed_open_clip(rest)}"] = value
        elif rest.startswith("self_attn.q_proj"):
            three = [state[key.replace("q_proj", f"{which}_proj")] for which in "qkv"]
            found[f"transformer.resblocks.{number}.attn.in_proj_{rest.rpartition('.')[2]}"] = torch.cat(three)
    return found


def renamed_open_clip(name: str) -> str:
    """`mlp.fc1.weight` to `mlp.c_fc.weight`."""
    for old, new in OPEN_CLIP.items():
        name = name.replace(old, new)
    return name
