"""Whether all values of a file are numbers: one that is none makes every image that its layer touches black."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hypersd_app.catalog.lora.check import tensor_rows
from hypersd_app.errors import ModelUnavailable

# An unsigned kind of the same width, and the bits that are all set where there is no number.
EXPONENTS = {
    "F64": (np.uint64, 0x7FF0_0000_0000_0000), "F32": (np.uint32, 0x7F80_0000), "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80), "F8_E4M3": (np.uint8, 0x7F), "F8_E5M2": (np.uint8, 0x7C),
}  # fmt: skip
AT_ONCE = 2**22  # values


def require_numbers(path: Path) -> None:
    """Read all values of a file whose header was checked. Raises ModelUnavailable if one is no number or infinite."""
    rows = tensor_rows(path)
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
    data = np.memmap(path, np.uint8, "r", start) if path.stat().st_size > start else np.zeros(0, np.uint8)
    for name, row in rows.items():
        if row["dtype"] not in EXPONENTS:
            continue
        kind, exponent = EXPONENTS[row["dtype"]]
        begin, end = row["data_offsets"]
        mask = kind(exponent)
        step = AT_ONCE * np.dtype(kind).itemsize
        for at in range(begin, end, step):
            values = np.frombuffer(data[at : min(end, at + step)].tobytes(), kind)
            if ((values & mask) == mask).any():
                raise ModelUnavailable(f"{path.name} is damaged: {name[:80]!r} holds values that are no numbers.")
