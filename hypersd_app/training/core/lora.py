"""LoRA on a UNet: adding one to train, and writing the file that diffusers and Civitai tools read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hypersd_app.catalog.legacy_keys import current_keys
from hypersd_app.catalog.lora.export import FAMILIES, kohya_metadata, kohya_name
from hypersd_app.errors import ModelUnavailable

ATTENTION_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
CONVOLUTION_TARGETS = ("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv")
WAYS = {"A.weight": "down", "B.weight": "up"}  # PEFT's matrices and kohya's
END_TARGETS = ("conv_in", "conv_out", "time_emb_proj")


def add_lora(
    unet: UNet2DConditionModel, rank: int, name: str, targets: Sequence[str] = (*ATTENTION_TARGETS, *CONVOLUTION_TARGETS)
) -> None:
    """Freeze `unet` and give it a trainable adapter `name` on all layers whose names end in one of `targets`."""
    unet.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(targets), init_lora_weights="gaussian")
    unet.add_adapter(config, adapter_name=name)
    for key, parameter in unet.named_parameters():
        parameter.requires_grad_("lora_" in key and f".{name}." in key)


def save_lora(
    unet: UNet2DConditionModel, name: str, path: Path, metadata: Mapping[str, str], dtype: torch.dtype = torch.float16
) -> None:
    """Write adapter `name` as one safetensors file with `unet.`-prefixed names, as StableDiffusionPipeline saves them."""
    # PEFT's own names throughout: diffusers' converter renames attention layers only, and its loader then skips them.
    state = get_peft_model_state_dict(unet, adapter_name=name)
    tensors = {f"{StableDiffusionPipeline.unet_name}.{key}": value.to(dtype).contiguous() for key, value in state.items()}
    _write(tensors, path, metadata)


def _write(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """In one rename, so that an app that looks for new files finds the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(dict(tensors), partial, {"format": "pt", **metadata})
    partial.replace(path)


def save_whole(unet: UNet2DConditionModel, path: Path, metadata: Mapping[str, str], dtype: torch.dtype = torch.float16) -> None:
    """Write a whole UNet as one safetensors file in diffusers' names, as the released one-step UNet."""
    _write({name: value.detach().to(dtype).contiguous() for name, value in unet.state_dict().items()}, path, metadata)


def merge_loras(parts: Sequence[tuple[Path, float]], path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write the sum of LoRA files, each at its scale, as one: ranks add up, so nothing is lost. The first's metadata stay.

    A scale of 0 leaves a part out.
    """
    downs: dict[str, list[Tensor]] = {}
    ups: dict[str, list[Tensor]] = {}
    for file, scale in parts:
        for name, value in current_keys(load_file(file)).items() if scale else ():
            into, factor = (downs, 1.0) if ".lora_A." in name else (ups, scale)
            into.setdefault(name, []).append(factor * value.float())
    joined = {name: torch.cat(values) for name, values in downs.items()} | {
        name: torch.cat(values, 1) for name, values in ups.items()
    }
    with safe_open(parts[0][0], "pt") as first:
        metadata = {key: value for key, value in (first.metadata() or {}).items() if key != "format"}
    _write({name: value.to(dtype).contiguous() for name, value in joined.items()}, path, metadata)


def write_for_other_programs(path: Path, family: str) -> Path | None:
    """The LoRA at `path` once more under the names that A1111, Forge and ComfyUI know, in the folder `kohya` beside it.

    None for a family that they do not have. Both files are the same changes; only the names and the noted strength differ.
    """
    if family not in FAMILIES:
        return None
    tensors: dict[str, Tensor] = {}
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata() or {})
        for key in file.keys():  # noqa: SIM118 - not a mapping
            module, _, way = key.removeprefix(f"{StableDiffusionPipeline.unet_name}.").rpartition(".lora_")
            name, value = kohya_name(module, family), file.get_tensor(key)
            tensors[f"{name}.lora_{WAYS[way]}.weight"] = value
            if WAYS[way] == "down":
                tensors[f"{name}.alpha"] = torch.tensor(float(len(value)), dtype=value.dtype)
    rank = max(len(value) for name, value in tensors.items() if name.endswith(".lora_down.weight"))
    target = path.parent / "kohya" / path.name
    stem = path.parent.name if path.stem == "accelerator" else path.stem
    _write(tensors, target, kohya_metadata(metadata, family, stem, rank))
    return target


def fuse_lora(unet: UNet2DConditionModel, path: Path, scale: float = 1.0) -> None:
    """Add a LoRA file's weights to the UNet's own, leaving no adapter behind."""
    unet.load_lora_adapter(current_keys(load_file(path)), prefix=StableDiffusionPipeline.unet_name)
    unet.fuse_lora(lora_scale=scale)
    unet.unload_lora()


def load_lora(unet: UNet2DConditionModel, name: str, path: Path) -> None:
    """Give adapter `name` the weights of a LoRA file of the same shape, to train them further. Raises ModelUnavailable."""
    prefix = f"{StableDiffusionPipeline.unet_name}."
    state = {key.removeprefix(prefix): value.float() for key, value in current_keys(load_file(path)).items()}
    wanted = {key: value.shape for key, value in get_peft_model_state_dict(unet, adapter_name=name).items()}
    if {key: value.shape for key, value in state.items()} != wanted:
        raise ModelUnavailable(f"{path} is a LoRA of other layers or another rank; train with the rank it has.")
    set_peft_model_state_dict(unet, state, adapter_name=name)


@torch.no_grad()
def save_difference(
    base: nn.Module, trained: nn.Module, rank: int, path: Path, metadata: Mapping[str, str], dtype: torch.dtype = torch.float16
) -> float:
    """Write what `trained` has learnt beyond `base` as a LoRA of at most `rank`: each layer's best such approximation.

    Returns the share of the change that it keeps, by squared size, 1 being all; the rest is lost with the rank.
    """
    tensors, kept, whole = {}, 0.0, 0.0
    learnt = dict(trained.named_parameters())
    for name, layer in base.named_modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        change = (learnt[f"{name}.weight"].float() - layer.weight.float()).flatten(1)
        if not change.any():
            continue
        up, down = low_rank(change, rank)
        kept, whole = kept + float((up @ down).square().sum()), whole + float(change.square().sum())
        kernel = layer.weight.shape[1:]
        tensors[f"{name}.lora_A.weight"] = down.view(len(down), *kernel).to(dtype).contiguous()
        tensors[f"{name}.lora_B.weight"] = up.view(*up.shape, *(1 for _ in kernel[1:])).to(dtype).contiguous()
    prefix = StableDiffusionPipeline.unet_name
    _write({f"{prefix}.{key}": value for key, value in tensors.items()}, path, metadata)
    return kept / whole if whole else 1.0


def low_rank(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The nearest up (m, r) @ down (r, n) to a matrix (Eckart and Young, 1936), both of the same size; r is at most `rank`."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root.unsqueeze(1) * v[:rank]
