"""Names under which A1111, Forge and ComfyUI find the layers of LoRAs that were made here: Stability's, as kohya writes them.

These programs know every layer of SD1.5 and SDXL by the name that Stability's own code gives it, and only some by diffusers'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hypersd_app.catalog.lora.keys import ENDS, PER_LEVEL, RESNET

FAMILIES = ("sd15", "sdxl")  # whose layers other programs know
PREFIX = "lora_unet_"
BASES = {"sd15": ("sd_v1", "stable-diffusion-v1/lora"), "sdxl": ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora")}
BLOCK = re.compile(r"(down|up)_blocks_(\d)_(resnets|attentions|downsamplers|upsamplers)_(\d)_(.+)$")
MIDDLE = re.compile(r"mid_block_(resnets|attentions)_(\d)_(.+)$")
OWN_ENDS = {diffusers: stability for stability, diffusers in ENDS.items()}
OWN_RESNET = {diffusers: stability for stability, diffusers in RESNET.items()}


def kohya_name(module: str, family: str) -> str:
    """`lora_unet_input_blocks_4_1_proj_in` of diffusers' `down_blocks.1.attentions.0.proj_in`. Raises ValueError for others."""
    flat = module.replace(".", "_")
    if flat in OWN_ENDS:
        return PREFIX + OWN_ENDS[flat]
    if found := MIDDLE.match(flat):
        kind, number, rest = found.groups()
        place = 1 if kind == "attentions" else 2 * int(number)
        return f"{PREFIX}middle_block_{place}_{_inside(kind, rest)}"
    if found := BLOCK.match(flat):
        return PREFIX + _block_name(family, *found.groups())
    raise ValueError(f"{module!r} is no layer of a UNet that other programs know")


def _block_name(family: str, side: str, block: str, kind: str, number: str, rest: str) -> str:
    level, index = int(block), int(number)
    if kind == "downsamplers":
        return f"input_blocks_{PER_LEVEL * (level + 1)}_0_op"
    if kind == "upsamplers":
        behind = 1 if family == "sd15" and level == 0 else 2  # of SD1.5 the first block has no attention
        return f"output_blocks_{PER_LEVEL * level + PER_LEVEL - 1}_{behind}_conv"
    place = PER_LEVEL * level + index + (side == "down")
    return f"{'input' if side == 'down' else 'output'}_blocks_{place}_{int(kind == 'attentions')}_{_inside(kind, rest)}"


def _inside(kind: str, rest: str) -> str:
    return OWN_RESNET[rest] if kind == "resnets" else rest


def kohya_metadata(metadata: Mapping[str, str], family: str, name: str, rank: int) -> dict[str, str]:
    """What other programs read of a file: title, trigger words, base model and rank, and how to run it, besides our own."""
    version, architecture = BASES[family]
    title, trigger = metadata.get("title") or name.replace("_", " "), metadata.get("trigger", "")
    texts = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "ss_base_model_version": version,
        "ss_output_name": name,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": architecture,
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": title,
        "modelspec.trigger_phrase": trigger,
        "modelspec.usage_hint": metadata.get("recipe", ""),
    }
    return {**metadata, **{key: text for key, text in texts.items() if text}}
