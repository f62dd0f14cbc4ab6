"""LoRA files as low-rank factors, and patching them into weights so that every change can be undone exactly."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils.state_dict_utils import (
    StateDictType,
    convert_state_dict_to_diffusers,
    convert_state_dict_to_peft,
    convert_unet_state_dict_to_peft,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hypersd_app.catalog.legacy_keys import current_keys
from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.engine.loading.fingerprint import Fingerprint, file_stamp
from hypersd_app.errors import ModelUnavailable

SDXL_BLOCKS = SimpleNamespace(layers_per_block=2)  # all that renaming kohya's SDXL blocks needs of the UNet's config
ALPHA = ".alpha"
UPS = ("lora_up", "lora_B", "lora.up", "lora_linear_layer.up")  # what the up factor of a layer is called
COMPONENTS = ("unet", "text_encoder", "text_encoder_2")
# What diffusers' converters raise.
CONVERSION_ERRORS = (ValueError, LookupError, TypeError, AttributeError, NotImplementedError)


@dataclass(frozen=True)
class LowRank:
    """One layer's change, scale * up @ down. `down`: (r, in, ...), `up`: (out, r, ...); convolutions have 4 dimensions."""

    down: Tensor
    up: Tensor
    scale: float

    @property
    def rank(self) -> int:
        """Inner dimension r."""
        return int(self.down.shape[0])

    def delta(self, weight: float = 1.0) -> Tensor:
        """The change of the layer's weight, float32, in the layer's own shape (1x1 kernels may be left out)."""
        up = self.up.float().flatten(1) * (self.scale * weight)
        return (up @ self.down.float().flatten(1)).view(self.up.shape[0], *self.down.shape[1:])


Factors = Mapping[str, Mapping[str, LowRank]]  # component -> module path -> change


def read_factors(path: Path, unet_config: Any = None) -> Factors:
    """All changes in a LoRA file: diffusers', PEFT's or kohya's names. Raises ModelUnavailable."""
    header = read_header(path)
    unsupported = [key for key in header.shapes if any(mark in key for mark in ("dora_scale", "hada_", "lokr_", "diff_b"))]
    if unsupported:
        raise ModelUnavailable(f"{path.name} is not a plain LoRA ({unsupported[0]}); only plain LoRA files can be used.")
    try:
        tensors = without_alphas(current_keys(load_file(path)))
        state, _ = StableDiffusionXLPipeline.lora_state_dict(tensors, unet_config=unet_config)
        return {name: _component(state, name, _peft_alpha(header.metadata, name)) for name in COMPONENTS}
    except (SafetensorError, OSError, *CONVERSION_ERRORS) as error:
        raise ModelUnavailable(f"{path.name} cannot be read as a LoRA: {error}") from error


def without_alphas(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same changes with every layer's alpha multiplied into its up factor.

    diffusers' converters rename alphas apart from their layers, and lose those of attention.
    """
    folded = {key: value for key, value in tensors.items() if not key.endswith(ALPHA)}
    for key in (key for key in tensors if key.endswith(ALPHA)):
        if tensors[key].numel() != 1:
            raise ValueError(f"{key} is not one number")
        for up in (f"{key.removesuffix(ALPHA)}.{name}.weight" for name in UPS):
            if up in tensors:
                factor = tensors[up]
                folded[up] = factor.float() * (float(tensors[key]) / factor.shape[1])
    return folded


def _peft_alpha(metadata: Mapping[str, str], component: str) -> float | None:
    """lora_alpha from the configuration that PEFT writes beside the weights."""
    text = metadata.get("lora_adapter_metadata")
    value = json.loads(text).get(f"{component}.lora_alpha") if text else None
    return None if value is None else float(value)


def _component(state: Mapping[str, Tensor], name: str, alpha: float | None) -> dict[str, LowRank]:
    prefix = f"{name}."
    part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not part:
        return {}
    if not any("lora_A" in key for key in part):
        if name == "unet":
            part = convert_unet_state_dict_to_peft(part)
        else:
            part = convert_state_dict_to_diffusers(part, StateDictType.DIFFUSERS_OLD)  # leaves new names as they are
            part = convert_state_dict_to_peft(part, StateDictType.DIFFUSERS)
    found = {}
    for key, down in part.items():
        if not key.endswith(".lora_A.weight"):
            continue
        module = key.removesuffix(".lora_A.weight")
        up = part[f"{module}.lora_B.weight"]
        if min(down.ndim, up.ndim) < 2 or up.flatten(1).shape[1] != down.shape[0]:
            raise ValueError(f"the factors of {module!r} are {tuple(down.shape)} and {tuple(up.shape)}, of different ranks")
        # Files without any alpha mean alpha = rank.
        found[module] = LowRank(down, up, 1.0 if alpha is None else alpha / down.shape[0])
    return found


@dataclass(frozen=True)
class StyleKey:
    """One version of a style file: a file that is replaced has another key, and acts from the next picture on."""

    path: Path
    stamp: Fingerprint


class FactorCache:
    """The last LoRA files read, so that moving a weight slider reads nothing."""

    def __init__(self, capacity: int = 8) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[StyleKey, Factors] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path, family: str) -> tuple[StyleKey, Factors]:
        """The factors in `path` and the key of this version of it; read again if the file changed. Raises ModelUnavailable."""
        key = StyleKey(path, file_stamp(path))
        if not key.stamp:
            raise ModelUnavailable(f"{path.name} is gone.")
        with self._lock:
            if key not in self._entries:
                self._entries[key] = read_factors(path, SDXL_BLOCKS if family == "sdxl" else None)
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
            return key, self._entries[key]


def layer(module: nn.Module, name: str) -> nn.Module:
    """The named layer. Raises ModelUnavailable if the LoRA was made for another network."""
    for candidate in (name, name.removeprefix("text_model."), f"text_model.{name}"):
        try:
            found = module.get_submodule(candidate)
        except AttributeError:
            continue
        if isinstance(getattr(found, "weight", None), Tensor):
            return found
    raise ModelUnavailable(f"The LoRA does not fit this model: it has no layer {name!r}.")


@torch.no_grad()
def fuse(module: nn.Module, changes: Mapping[str, LowRank], weight: float = 1.0) -> None:
    """Add `changes` to the weights for good. Raises ModelUnavailable for a LoRA of another network's shape."""
    for name, change in changes.items():
        _add(layer(module, name).weight, change, name, weight)  # type: ignore[arg-type]


def _add(target: Tensor, change: LowRank, name: str, weight: float) -> None:
    delta = change.delta(weight)
    if delta.numel() != target.numel():
        raise ModelUnavailable(f"The LoRA does not fit this model: layer {name!r} has another shape.")
    # In float32, rounded once: a small change added in bfloat16 would be lost.
    target.copy_((target.float() + delta.to(target.device).view(target.shape)).to(target.dtype))


StyleFactors = Sequence[tuple[Mapping[str, LowRank], float]]


class StylePatch:
    """Styles on a module's weights. The touched weights are kept, so that taking a style off restores every bit."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._kept: dict[str, Tensor] = {}
        self._applied: object = ()

    @property
    def applied(self) -> object:
        """The key of the styles that act now; () for none."""
        return self._applied

    @property
    def bytes(self) -> int:
        """Memory of the kept weights."""
        return sum(kept.numel() * kept.element_size() for kept in self._kept.values())

    @torch.no_grad()
    def set(self, key: object, styles: StyleFactors) -> None:
        """Make exactly `styles` act; `key` names them, and the same key again costs nothing. Raises ModelUnavailable."""
        if key == self._applied:
            return
        self.clear()
        touched = dict.fromkeys(name for changes, _ in styles for name in changes)
        try:
            for name in touched:
                target = layer(self._module, name).weight
                self._kept[name] = target.detach().clone()  # type: ignore[operator]
                self._sum_into(target, name, styles)  # type: ignore[arg-type]
        except BaseException:
            # Whatever it was, running out of memory say: a weight half patched would show in everybody's next picture.
            self.clear()
            raise
        self._applied = key

    @staticmethod
    def _sum_into(target: Tensor, name: str, styles: StyleFactors) -> None:
        total = target.float()
        for changes, weight in styles:
            if name in changes:
                delta = changes[name].delta(weight)
                if delta.numel() != target.numel():
                    raise ModelUnavailable(f"The LoRA does not fit this model: layer {name!r} has another shape.")
                total = total + delta.to(target.device).view(target.shape)
        target.copy_(total.to(target.dtype))

    @torch.no_grad()
    def clear(self) -> None:
        """Take all styles off and forget the kept weights."""
        for name, kept in self._kept.items():
            layer(self._module, name).weight.copy_(kept)  # type: ignore[operator]
        self._kept = {}
        self._applied = ()
