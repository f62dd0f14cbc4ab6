"""Reading what a .safetensors file says of itself, without its weights and without torch."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypersd_app.errors import ModelUnavailable

MAX_HEADER = 100 * 1024 * 1024  # the format's own limit


@dataclass(frozen=True)
class TensorFile:
    """Metadata and shapes of one file."""

    path: Path
    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    bytes: int

    def numbers(self, prefixes: tuple[str, ...] = ("",)) -> int:
        """How many numbers the tensors hold whose names begin with one of `prefixes`."""
        return sum(math.prod(shape) for name, shape in self.shapes.items() if name.startswith(prefixes))


def read_header(path: Path) -> TensorFile:
    """Parse the header of `path`. Raises ModelUnavailable if it is cut short or no safetensors file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(MAX_HEADER, size):
                raise ModelUnavailable(f"{path.name} is not a safetensors file, or was cut short.")
            header: dict[str, Any] = json.loads(file.read(length))
        metadata = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
        shapes = {name: tuple(row["shape"]) for name, row in header.items()}
        end = max((row["data_offsets"][1] for row in header.values()), default=0)
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ModelUnavailable(f"{path.name} cannot be read as a safetensors file: {error}") from error
    if size < 8 + length + end:
        raise ModelUnavailable(f"{path.name} was cut short: {size} bytes of {8 + length + end}.")
    return TensorFile(path, metadata, shapes, size)
