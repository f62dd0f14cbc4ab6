"""The drawing board's binary messages, the same both ways: u32 sequence, u32 length, JSON of that length, an image."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypersd_app.errors import InvalidRequest

HEADER = struct.Struct("<II")  # little endian, as DataView writes it with its second argument true
MAX_HEAD_BYTES = 32 * 1024
# Images that a frame may hold: lines to follow, what is painted on, strokes over it, and where it may change.
PARTS = ("sketch", "init", "ink", "mask")


@dataclass(frozen=True)
class Message:
    """One frame up or down: `head` says what, `image` is an encoded image or empty."""

    sequence: int
    head: Mapping[str, Any]
    image: bytes = b""


def parts_of(message: Message) -> dict[str, bytes]:
    """The images of a frame by what they are. Raises InvalidRequest.

    Without more said it is a sketch. A head's `parts`, {"sketch": 1200, "init": 40000}, tells how many bytes of which follow
    each other.
    """
    lengths = message.head.get("parts")
    if lengths is None:
        return {"sketch": message.image} if message.image else {}
    if not isinstance(lengths, dict) or not all(isinstance(length, int) and length >= 0 for length in lengths.values()):
        raise InvalidRequest("parts", type(lengths).__name__, "an object of lengths in bytes")
    if set(lengths) - set(PARTS) or sum(lengths.values()) != len(message.image):
        raise InvalidRequest("parts", str(lengths)[:80], f"{', '.join(PARTS)}: {len(message.image)} bytes in all")
    found, start = {}, 0
    for name, length in lengths.items():
        found[name] = message.image[start : start + length]
        start += length
    return {name: data for name, data in found.items() if data}


def pack(message: Message) -> bytes:
    """Bytes of a message."""
    head = json.dumps(message.head, separators=(",", ":")).encode()
    return HEADER.pack(message.sequence, len(head)) + head + message.image


def unpack(data: bytes) -> Message:
    """The message in `data`. Raises InvalidRequest for anything that is not one."""
    if len(data) < HEADER.size:
        raise InvalidRequest("frame", f"{len(data)} bytes", f"at least {HEADER.size} bytes")
    sequence, length = HEADER.unpack_from(data)
    end = HEADER.size + length
    if length > MAX_HEAD_BYTES or end > len(data):
        raise InvalidRequest("frame header", f"{length} bytes", f"at most {MAX_HEAD_BYTES} bytes, all inside the frame")
    try:
        head = json.loads(data[HEADER.size : end])
    except (ValueError, RecursionError):
        raise InvalidRequest("frame header", "unreadable bytes", "JSON") from None
    if not isinstance(head, dict):
        raise InvalidRequest("frame header", type(head).__name__, "a JSON object")
    return Message(sequence, head, data[end:])
