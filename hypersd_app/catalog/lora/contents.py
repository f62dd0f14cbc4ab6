"""The one reader of LoRA files: every tensor's use, from the header alone. What it accepts, the engine applies."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from hypersd_app.catalog.lora.adapters import FULL, IA3, LOHA, LOKR, LORA, Adapter, BrokenAdapter, Tensor, layer_adapters
from hypersd_app.catalog.lora.foreign import foreign_lora, unused_adapter, without_adapters
from hypersd_app.catalog.lora.keys import TEXT_2, UNET, Key, parse_key
from hypersd_app.catalog.safetensors_header import TensorFile
from hypersd_app.errors import ModelUnavailable

EMBEDDING = re.compile(r"^bundle_emb\.([^.]+)\.")
TEXT_WIDTHS = {384: "pocket", 768: "sd15", 2048: "sdxl"}  # what the cross-attention of a family reads
OTHER_WIDTHS = {1024: "SD2.x", 1280: "an upscaler or a prior", 4096: "SD3, FLUX or Kolors"}
READS_TEXT = re.compile(r"_attn2_to_[kv]$")
PLAIN_PATTERN = re.compile(r"\^?[\w.]+\$?$")
SHOWN = 3  # names in a message


@dataclass(frozen=True, kw_only=True)
class LoraContents:
    """Every change a file makes, and what in it has no use here."""

    name: str  # the file's
    adapters: tuple[Adapter, ...]
    strays: tuple[str, ...]  # tensors that no adapter has
    embeddings: tuple[str, ...]  # tokens of the embeddings beside the LoRA

    @cached_property
    def rank(self) -> int:
        """The highest rank."""
        return max(adapter.rank for adapter in self.adapters)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """What is changed, as the file names it: "unet.down_blocks.0....", or with underscores."""
        return tuple(sorted({sys.intern(f"{adapter.place.component}.{adapter.place.module}") for adapter in self.adapters}))

    @cached_property
    def text_width(self) -> int:
        """The width of the text that the changed layers read; 0 if none of them reads it."""
        whole = [adapter for adapter in self.adapters if adapter.kind in (LORA, LOHA, LOKR, FULL) and adapter.inputs > 1]
        reading = (adapter for adapter in whole if adapter.place.component == UNET and READS_TEXT.search(adapter.place.layer))
        return next((adapter.inputs for adapter in reading), 0)

    @cached_property
    def family(self) -> str:
        """The family that only such a file can be for; "" if that can't be told. Raises ModelUnavailable for one not here."""
        if self.text_width in OTHER_WIDTHS:
            raise ModelUnavailable(f"{self.name} is made for {OTHER_WIDTHS[self.text_width]}, which does not run here.")
        if found := TEXT_WIDTHS.get(self.text_width, ""):
            return found
        layers = [adapter.place for adapter in self.adapters]
        if any(place.component == TEXT_2 or re.search(r"_transformer_blocks_[1-9]_", place.layer) for place in layers):
            return "sdxl"
        return "pocket" if any(place.layer.startswith("layout_") for place in layers) else ""


def read_contents(header: TensorFile) -> LoraContents:
    """What a LoRA file holds. Raises ModelUnavailable, with its right name, for what can't be used here."""
    shapes, name = header.shapes, header.path.name
    if meaning := foreign_lora(shapes):
        raise ModelUnavailable(f"{name} is {meaning}.")
    kind, key = unused_adapter(shapes)
    if kind:
        raise ModelUnavailable(
            f"{name} is a file of the kind {kind} ({key[:80]}), which is not used here; LoRA, LoCon, DoRA, LoHa, LoKr, (IA)^3 and "
            "full differences are. Merge it into a model, or export it as one of these."
        )
    try:
        contents = _contents(name, shapes, _PeftConfig(header.metadata))
    except (BrokenAdapter, ValueError, TypeError, RecursionError) as error:
        raise ModelUnavailable(f"{name} cannot be read as a LoRA: {error}.") from error
    if not contents.adapters:
        meaning = without_adapters(shapes)
        raise ModelUnavailable(f"{name} is {meaning}." if meaning else f"{name} holds no LoRA weights.")
    _understood(contents, len(shapes))
    return contents


def _understood(contents: LoraContents, tensors: int) -> None:
    """Raise ModelUnavailable if most of the file has no meaning."""
    if 2 * len(contents.strays) > tensors:
        raise ModelUnavailable(
            f"{contents.name} cannot be read as a LoRA: {len(contents.strays)} of its {tensors} tensors have no meaning here, "
            f"{named(contents.strays)}."
        )


def named(names: list[str] | tuple[str, ...]) -> str:
    """The first few of some names, for a message."""
    shown = ", ".join(name[:80] for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _contents(name: str, shapes: Mapping[str, tuple[int, ...]], peft: _PeftConfig) -> LoraContents:
    places: dict[tuple[str, str], Key] = {}
    roles: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, shape in shapes.items():
        place = parse_key(key)
        if place is None or EMBEDDING.match(key):
            continue
        layer = (place.component, place.layer)
        places.setdefault(layer, place)
        if place.role in roles.setdefault(layer, {}):
            raise BrokenAdapter(f"{key!r} and {roles[layer][place.role].key!r} are the same layer's")
        roles[layer][place.role] = Tensor(key, shape)
    found = [adapter for layer, place in places.items() for adapter in layer_adapters(place, roles[layer])]
    used = {key for adapter in found for key in adapter.tensors.values()}
    tokens = [match.group(1) for key in shapes if (match := EMBEDDING.match(key))]
    # A scalar or an alpha without meaning for its layer is none the less understood.
    used |= {row[role].key for row in roles.values() if len(row) > 1 for role in ("alpha", "scalar") if role in row}
    return LoraContents(
        name=name,
        adapters=tuple(replace(adapter, scale=peft.scale(adapter)) for adapter in found),
        strays=tuple(key for key in shapes if key not in used and not EMBEDDING.match(key)),
        embeddings=tuple(dict.fromkeys(tokens)),
    )


class _PeftConfig:
    """PEFT's rules of strength, from the configuration that diffusers writes beside the weights. Raises ValueError."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        text = metadata.get("lora_adapter_metadata")
        self._values: Any = json.loads(text) if text else {}
        if not isinstance(self._values, dict):
            raise ValueError("lora_adapter_metadata is no object")

    def scale(self, adapter: Adapter) -> float | None:
        """The strength of one adapter; None where nothing is said, and the file's alpha counts."""
        prefix = f"{adapter.place.component}."
        alpha = self._values.get(f"{prefix}lora_alpha", self._values.get(f"{prefix}alpha"))
        patterns = self._values.get(f"{prefix}alpha_pattern") or {}
        if not isinstance(patterns, dict):
            raise ValueError("alpha_pattern is no object")
        alpha = next((value for pattern, value in patterns.items() if matches(pattern, adapter.place.module)), alpha)
        if alpha is None or not adapter.rank or adapter.kind == IA3 or "alpha" in adapter.tensors:
            return None
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            raise ValueError(f"lora_alpha is {alpha!r}, no number")
        root = 0.5 if self._values.get(f"{prefix}use_rslora") else 1.0
        return float(alpha / adapter.rank**root)


def matches(pattern: str, module: str) -> bool:
    """Whether PEFT's pattern means this module: its whole name or the end of it. Raises ValueError.

    PEFT takes patterns as regular expressions; a stranger's are not run here, and names are all that is ever written.
    """
    if not PLAIN_PATTERN.match(pattern):
        raise ValueError(f"the pattern {pattern[:80]!r} is no name of a layer")
    name = pattern.removesuffix("$")
    if name.startswith("^"):
        return module == name[1:]
    return module == name or module.endswith(f".{name}")
