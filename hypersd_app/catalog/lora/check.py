"""What is asked of a LoRA file that a stranger sends, by its header alone: no byte of its weights is read before."""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hypersd_app.catalog.lora.contents import read_contents
from hypersd_app.catalog.lora.fit import Fit, best_fit
from hypersd_app.catalog.lora.layers import known_networks
from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.catalog.specs import ModelSpec
from hypersd_app.errors import ModelUnavailable

LARGEST_HEADER = 8 * 1024 * 1024  # bytes; a LoRA of SDXL with the notes of its training has well under one million
MOST_TENSORS = 20_000
MOST_DIMENSIONS = 4
HIGHEST_RANK = 512
SIZES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


def check_lora(path: Path, bases: Iterable[ModelSpec] = ()) -> Fit:
    """How much of a LoRA file acts on that of `bases` which takes most of it; of those not on this machine only names are known.

    Raises ModelUnavailable unless it is a sound LoRA file that the engine can apply.
    """
    rows = tensor_rows(path)
    _check_tensors(path, rows)
    contents = read_contents(read_header(path))
    if contents.rank > HIGHEST_RANK:
        raise ModelUnavailable(f"{path.name} has the rank {contents.rank}; ranks up to {HIGHEST_RANK} are taken.")
    return best_fit(contents, known_networks(bases))


def tensor_rows(path: Path) -> dict[str, Any]:
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
