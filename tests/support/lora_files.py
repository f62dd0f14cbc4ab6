"""LoRA files of every kind in use, for any network: random values under the names that each program writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

RANK = 4
Tensors = dict[str, Tensor]
Maker = Callable[[str, Tensor, torch.Generator], Tensors]  # (module, weight, random) -> tensors by the end of their names


def normal(random: torch.Generator, *shape: int, scale: float = 0.2) -> Tensor:
    """Random numbers of about `scale`."""
    return torch.randn(shape, generator=random) * scale


def kernel_ones(weight: Tensor) -> tuple[int, ...]:
    """The kernel of a pointwise convolution, () for a matrix."""
    return tuple(1 for _ in weight.shape[2:])


def lora(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
    """kohya's LoRA and LoCon."""
    return {
        "lora_down.weight": normal(random, RANK, *weight.shape[1:]),
        "lora_up.weight": normal(random, weight.shape[0], RANK, *kernel_ones(weight)),
        "alpha": torch.tensor(2.0),
    }


def tucker(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
    """LoCon with a core tensor where there is a kernel."""
    if weight.ndim < 4 or weight.shape[-1] == 1:
        return lora(name, weight, random)
    return {
        "lora_down.weight": normal(random, RANK, weight.shape[1], 1, 1),
        "lora_mid.weight": normal(random, RANK, RANK, *weight.shape[2:]),
        "lora_up.weight": normal(random, weight.shape[0], RANK, 1, 1),
        "alpha": torch.tensor(2.0),
    }


def scalar(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
    """LyCORIS' LoRA with a trained factor."""
    return {**lora(name, weight, random), "scalar": torch.tensor(0.7)}


def loha(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
    """LyCORIS' Hadamard product."""
    outputs, inputs = weight.shape[0], weight[0].numel()
    sides = {"w1_a": (outputs, RANK), "w1_b": (RANK, inputs), "w2_a": (outputs, RANK), "w2_b": (RANK, inputs)}
    return {**{f"hada_{side}": normal(random, *shape) for side, shape in sides.items()}, "alpha": torch.tensor(2.0)}


def loha_tucker(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
    """LyCORIS' Hadamard product with cores where there is a kernel."""
    if weight.ndim < 4 or weight.shape[-1] == 1:
        return loha(name, weight, random)
    found = {"alpha": torch.tensor(2.0)}
    for half in ("1", "2"):
        found[f"hada_t{half}"] = normal(random, RANK, RANK, *weight.shape[2:])
        found[f"hada_w{half}_a"] = normal(random, RANK, weight.shape[0])
        found[f"hada_w{half}_b"] = normal(random, RANK, weight.shape[1])
    return found


def lokr(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
    """LyCORIS' Kronecker product, the larger matrix as two factors."""
    outputs, inputs = weight.shape[0] // 2, weight.shape[1] // 2
    kernel = weight[0, 0].numel()
    return {
        "lokr_w1": normal(random, 2, 2), "lokr_w2_a": normal(random, outputs, RANK),
        "lokr_w2_b": normal(random, RANK, inputs * kernel), "alpha": torch.tensor(2.0),
    }  # fmt: skip


def lokr_full(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
    """LyCORIS' Kronecker product of two whole matrices; its alpha means nothing."""
    second = normal(random, weight.shape[0] // 2, weight.shape[1] // 2, *weight.shape[2:])
    return {"lokr_w1": normal(random, 2, 2), "lokr_w2": second, "alpha": torch.tensor(7.0)}


def lokr_tucker(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
    """LyCORIS' Kronecker product with a core where there is a kernel."""
    if weight.ndim < 4 or weight.shape[-1] == 1:
        return lokr(name, weight, random)
    return {
        "lokr_w1": normal(random, 2, 2), "lokr_t2": normal(random, RANK, RANK, *weight.shape[2:]),
        "lokr_w2_a": normal(random, RANK, weight.shape[0] // 2), "lokr_w2_b": normal(random, RANK, weight.shape[1] // 2),
        "alpha": torch.tensor(2.0),
    }  # fmt: skip


def ia3(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
    """LyCORIS' (IA)^3 on outputs."""
    shape = (1, weight.shape[0], 1, 1) if weight.ndim == 4 else (weight.shape[0],)
    return {"weight": normal(random, *shape), "on_input": torch.tensor(0)}


def ia3_input(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
    """LyCORIS' (IA)^3 on inputs."""
    shape = (1, weight.shape[1], 1, 1) if weight.ndim == 4 else (weight.shape[1],)
    return {"weight": normal(random, *shape), "on_input": torch.tensor(1)}


def full(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
    """A whole difference."""
    return {"diff": normal(random, *weight.shape, scale=0.02)}


def with_dora(make: Maker, on_input: bool = False) -> Maker:
    """The same with LyCORIS' magnitudes."""

    def made(name: str, weight: Tensor, random: torch.Generator) -> Tensors:
        shape = (1, weight.shape[1]) if on_input else (weight.shape[0], 1)
        size = weight[0].numel() ** 0.5 if not on_input else weight[:, 0].numel() ** 0.5
        lengths = normal(random, *shape, *kernel_ones(weight)).abs() + size * weight.std()
        return {**make(name, weight, random), "dora_scale": lengths}

    return made


KOHYA: Mapping[str, Maker] = {  # kinds whose reference is LyCORIS
    "lora": lora, "tucker": tucker, "loha": loha, "loha tucker": loha_tucker, "lokr": lokr, "lokr full": lokr_full,
    "lokr tucker": lokr_tucker, "ia3": ia3, "full": full, "dora": with_dora(lora), "dora of inputs": with_dora(lora, True),
    "dora loha": with_dora(loha), "dora lokr": with_dora(lokr), "ia3 of inputs": ia3_input, "scalar": scalar,
}  # fmt: skip


def layers(network: nn.Module, ends: Iterable[str] = ()) -> dict[str, Tensor]:
    """Weights of the linear layers and convolutions of a network, those whose names end so."""
    endings = tuple(ends)
    return {
        name: module.weight.detach()
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and (not endings or name.endswith(endings))
    }


def kohya_tensors(network: nn.Module, make: Maker, seed: int = 0, prefix: str = "lora_unet_", ends: Iterable[str] = ()) -> Tensors:
    """The tensors of a file as kohya's scripts and LyCORIS name them."""
    random = torch.Generator().manual_seed(seed)
    found = {}
    for name, weight in layers(network, ends).items():
        for end, tensor in make(name, weight, random).items():
            found[f"{prefix}{name.replace('.', '_')}.{end}"] = tensor
    return found


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, object] | None = None) -> Path:
    """One file; metadata that are no text are written as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (metadata or {}).items()}
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, texts)
    return path


def renamed(tensors: Mapping[str, Tensor], form: str) -> Tensors:
    """PEFT's tensors `<module>.lora_A.weight` under the names of other programs; strengths are 1 in all of them."""
    return {RENAMED[form](key): tensor for key, tensor in tensors.items()}


def attention_processor(key: str) -> str:
    """The names of diffusers in early 2023."""
    module, end = key.rsplit(".lora_", 1)
    parent, _, layer = module.removesuffix(".0").rpartition(".")
    return f"unet.{parent}.processor.{layer}_lora.{'down' if end.startswith('A') else 'up'}.weight"


def stability(key: str) -> str:
    """The names of Stability's own code, as ComfyUI saves them, of an SDXL with two layers a block."""
    return "diffusion_model." + stability_module(key.rsplit(".lora_", 1)[0]) + _way(key, ".lora_down.weight", ".lora_up.weight")


def stability_module(module: str) -> str:
    """Stability's name of an attention layer or residual block of diffusers' UNet."""
    parts = module.split(".")
    inside = ".".join(parts[4:] if parts[0] != "mid_block" else parts[3:])
    inside = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
        "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
    }.get(inside, inside)  # fmt: skip
    if parts[0] == "mid_block":
        number = 1 if parts[1] == "attentions" else 2 * int(parts[2])
        return f"middle_block.{number}.{inside}"
    level, index = int(parts[1]), int(parts[3])
    part = 0 if parts[2] == "resnets" else 1
    if parts[0] == "down_blocks":
        return f"input_blocks.{1 + 3 * level + index}.{part}.{inside}"
    return f"output_blocks.{3 * level + index}.{part}.{inside}"


def _way(key: str, down: str, up: str) -> str:
    return down if key.endswith(".lora_A.weight") else up


def _ending(prefix: str, down: str, up: str) -> Callable[[str], str]:
    """A name with other words for lora_A and lora_B."""
    return lambda key: prefix + key.rsplit(".lora_", 1)[0] + _way(key, down, up) + ".weight"


def _kohya(key: str) -> str:
    return "lora_unet_" + key.rsplit(".lora_", 1)[0].replace(".", "_") + _way(key, ".lora_down", ".lora_up") + ".weight"


RENAMED: Mapping[str, Callable[[str], str]] = {
    "diffusers": lambda key: f"unet.{key}",
    "peft": lambda key: f"base_model.model.{key}",
    "peft in a pipeline": lambda key: f"unet.base_model.model.{key}",
    "adapter name": _ending("unet.", ".lora_A.default", ".lora_B.default"),
    "diffusion model": lambda key: f"diffusion_model.{key}",
    "linear layer": _ending("unet.", ".lora_linear_layer.down", ".lora_linear_layer.up"),
    "lora in a layer": _ending("unet.", ".lora.down", ".lora.up"),
    "attention processors": attention_processor,
    "kohya": _kohya,
    "stability": stability,
}
