"""Single fields of an EXIF block. Only those that are asked for are copied, whatever the others claim to hold."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from typing import Any

ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
BYTE, ASCII, SHORT, LONG, UNDEFINED = 1, 2, 3, 4, 7
WIDTHS = {BYTE: 1, ASCII: 1, SHORT: 2, LONG: 4, UNDEFINED: 1}
FIRST = 4  # where the place of the first directory stands
ORIENTATION = 0x0112
XMP_NAMES = frozenset(("XML:com.adobe.xmp", "xmp"))  # under which Pillow keeps Adobe's text
XMP_ORIENTATION = b"tiff:Orientation"

Value = int | str | bytes


def exif_values(block: bytes, wanted: Collection[int], folder: int = 0) -> dict[int, Value]:
    """Values by tag, of the first directory or of the one at `folder`: the first number, Latin-1 text, or bytes.

    What is damaged or of another kind is left out.
    """
    order = ORDERS.get(block[:4])
    found: dict[int, Value] = {}
    if order is None:
        return found
    try:
        at = folder or struct.unpack_from(f"{order}L", block, FIRST)[0]
        (count,) = struct.unpack_from(f"{order}H", block, at)
        for row in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHL", block, row)
            if tag in wanted and tag not in found and number and kind in WIDTHS:
                value = _value(block, order, row + 8, kind, number)
                found |= {} if value is None else {tag: value}
    except struct.error:
        pass  # it is cut short
    return found


def _value(block: bytes, order: str, at: int, kind: int, number: int) -> Value | None:
    """The value whose four bytes of place, or of itself if it is so short, are at `at`; None if it ends outside."""
    size = WIDTHS[kind] * number
    start = at if size <= 4 else struct.unpack_from(f"{order}L", block, at)[0]
    if start + size > len(block):
        return None
    if kind in (SHORT, LONG):
        return int(struct.unpack_from(order + ("H" if kind == SHORT else "L"), block, start)[0])
    data = block[start : start + size]
    return data.removesuffix(b"\0").decode("latin-1") if kind == ASCII else data


def orientation(block: bytes, info: Mapping[Any, Any]) -> int:
    """How an image with this EXIF block lies, 1 to 8; `info` is Pillow's, for what only Adobe's text says."""
    told = exif_values(block, (ORIENTATION,)).get(ORIENTATION)
    if not isinstance(told, int):
        told = next((_xmp_orientation(info[name]) for name in XMP_NAMES if name in info), 1)
    return told if 1 <= told <= 8 else 1


def _xmp_orientation(text: str | bytes) -> int:
    """The number after the name in Adobe's text, as an attribute or between tags; 1 without one."""
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    at = data.find(XMP_ORIENTATION)
    told = data[at + len(XMP_ORIENTATION) :][:3].lstrip(b'=">')[:1] if at >= 0 else b""
    return int(told) if told.isdigit() else 1
