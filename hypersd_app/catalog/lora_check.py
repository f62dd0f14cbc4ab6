"""What is asked of a LoRA file that a stranger sends, by its header alone: no byte of its weights is read before."""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hypersd_app.catalog.legacy_keys import current_key
from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.catalog.scan import DOWN
from hypersd_app.catalog.specs import ModelSpec
from hypersd_app.errors import ModelUnavailable

LARGEST_HEADER = 8 * 1024 * 1024  # bytes; a LoRA of SDXL with the notes of its training has well under one million
MOST_TENSORS = 20_000
MOST_DIMENSIONS = 4
HIGHEST_RANK = 512
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4}
UP = {"lora_A": "lora_B", "lora_down": "lora_up", "lora.down": "lora.up", "lora_linear_layer.down": "lora_linear_layer.up"}
PREFIXES = ("base_model.model.", "unet.", "lora_unet_")

Shape = tuple[int, ...]


def check_lora(path: Path, bases: Iterable[ModelSpec] = ()) -> None:
    """Raise ModelUnavailable unless `path` is a sound LoRA file that fits one of `bases` whose shapes are known here."""
    rows = _rows(path)
    _check_tensors(path, rows)
    shapes = {name: tuple(row["shape"]) for name, row in rows.items()}
    changed = _changed_layers(path, shapes)
    known = [shapes for shapes in (base_shapes(model) for model in bases) if shapes]
    if known and not any(_fits(changed, base) for base in known):
        raise ModelUnavailable(f"{path.name} does not fit its model: the layers it changes have other shapes there.")


def _rows(path: Path) -> dict[str, Any]:
    """The header's rows, read only after its length is known to be small."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LARGEST_HEADER:
                raise ModelUnavailable(f"{path.name} claims a header of {length} bytes; at most {LARGEST_HEADER} are read.")
            rows = json.loads(file.read(length))
    except (OSError, struct.error, ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{path.name} cannot be read as a safetensors file: {type(error).__name__}.") from error
    if not isinstance(rows, dict):
        raise ModelUnavailable(f"{path.name} cannot be read as a safetensors file: its header is no object.")
    read_header(path)  # the checks that every file has to pass
    rows.pop("__metadata__", None)
    if not 0 < len(rows) <= MOST_TENSORS:
        raise ModelUnavailable(f"{path.name} holds {len(rows)} tensors; 1 to {MOST_TENSORS} are taken.")
    return rows


def _check_tensors(path: Path, rows: Mapping[str, Any]) -> None:
    """Every tensor lies in the file, none over another, and is as long as its shape says."""
    spans = []
    for name, row in rows.items():
        shape, offsets = row.get("shape"), row.get("data_offsets")
        known = isinstance(row.get("dtype"), str) and row["dtype"] in SIZES
        if not known or not _whole_numbers(shape, MOST_DIMENSIONS) or not (_whole_numbers(offsets, 2) and len(offsets) == 2):
            raise ModelUnavailable(f"{path.name}: tensor {name[:80]!r} is no tensor of numbers.")
        begin, end = offsets
        if end - begin != math.prod(shape) * SIZES[row["dtype"]]:
            raise ModelUnavailable(f"{path.name}: tensor {name[:80]!r} is not as long as its shape says.")
        spans.append((begin, end))
    spans.sort()
    if any(end > begin for (_, end), (begin, _) in itertools.pairwise(spans)):
        raise ModelUnavailable(f"{path.name}: its tensors overlap.")


def _whole_numbers(values: object, most: int) -> bool:
    return isinstance(values, list) and len(values) <= most and all(type(v) is int and 0 <= v < 2**40 for v in values)


def _changed_layers(path: Path, shapes: Mapping[str, Shape]) -> dict[str, tuple[int, int]]:
    """Module -> (numbers going in, numbers coming out) of each pair of factors."""
    changed = {}
    for name, down in shapes.items():
        found = DOWN.search(name)
        if found is None:
            continue
        up = shapes.get(name[: found.start(1)] + UP[found.group(1)] + name[found.end(1) :])
        if up is None or len(down) < 2 or len(up) < 2 or up[1] != down[0] or not 0 < down[0] <= HIGHEST_RANK:
            raise ModelUnavailable(f"{path.name}: {name[:80]!r} is no pair of factors of rank 1 to {HIGHEST_RANK}.")
        changed[DOWN.sub("", name)] = (math.prod(down[1:]), up[0])
    if not changed:
        raise ModelUnavailable(f"{path.name} holds no LoRA weights.")
    return changed


def base_shapes(model: ModelSpec) -> dict[str, Shape]:
    """Weight shapes of a model's UNet that lies on this machine, {} where it does not: then the engine checks, on the CPU."""
    if model.source.path is None or not model.source.path.is_dir():
        return {}
    found: dict[str, Shape] = {}
    for path in sorted((model.source.path / "unet").glob("*.safetensors")):
        found |= {flat(name.removesuffix(".weight")): shape for name, shape in read_header(path).shapes.items()}
    return found


def flat(module: str) -> str:
    """A module's name as both diffusers' and kohya's files can be compared by."""
    for prefix in PREFIXES:
        module = module.removeprefix(prefix)
    return current_key(module).replace(".", "_")


def _fits(changed: Mapping[str, tuple[int, int]], base: Mapping[str, Shape]) -> bool:
    """Whether what is known by name has the right shape. Names the base lacks are the engine's to judge: some are renamed."""
    named = [(base[flat(name)], sizes) for name, sizes in changed.items() if flat(name) in base]
    return all((math.prod(shape[1:]), shape[0]) == sizes for shape, sizes in named)
