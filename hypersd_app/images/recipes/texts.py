"""The texts in an image file, by its content and not by its name: PNG chunks, and EXIF in PNG, JPEG and WebP.

No pixel is decoded. Compressed texts are unpacked only as far as they are allowed to be long.
"""

from __future__ import annotations

import zlib

from hypersd_app.images.exif import exif_values
from hypersd_app.images.files import EXIF, JPEG, LONGEST, TEXTS, TooManyParts, exif_block, is_webp, png_chunks
from hypersd_app.images.png import SIGNATURE

USER_COMMENT, DESCRIPTION, MAKE, MODEL, SOFTWARE = 0x9286, 0x010E, 0x010F, 0x0110, 0x0131
EXIF_FOLDER = 0x8769
EXIF_NAMES = {DESCRIPTION: "exif:description", MAKE: "exif:make", MODEL: "exif:model", SOFTWARE: "exif:software"}
COMMENT = "exif:comment"  # where A1111, Forge, Fooocus and SwarmUI write into JPEG and WebP


def image_texts(data: bytes) -> dict[str, str] | None:
    """All texts by their keys (for EXIF "exif:" and a field), {} without any; None for what is no PNG, JPEG or WebP."""
    if data.startswith(SIGNATURE):
        return _png_texts(data)
    if not data.startswith(JPEG) and not is_webp(data):
        return None
    try:
        return _exif_texts(exif_block(data))
    except TooManyParts:
        return {}


def _png_texts(data: bytes) -> dict[str, str]:
    """The first text of each key, before or after the pixels."""
    found: dict[str, str] = {}
    room = LONGEST
    try:
        for part in png_chunks(data):
            if part.kind not in TEXTS or part.end - part.start > LONGEST:
                continue
            body = data[part.start : part.end]
            if part.kind == b"eXIf":
                found = {**_exif_texts(body.removeprefix(EXIF)), **found}
                continue
            key, text, packed = _png_text(part.kind, body, room)
            room -= packed
            if key and text is not None:
                found.setdefault(key, text)
    except TooManyParts:
        pass  # those that came first count
    return found


def _png_text(kind: bytes, body: bytes, room: int) -> tuple[str, str | None, int]:
    """Key and text of a chunk, and how many bytes were unpacked for it; no text if it would be longer than `room`."""
    name, _, rest = body.partition(b"\0")
    key = name.decode("latin-1")
    if kind == b"tEXt":
        return key, _text(rest), 0
    packed = True
    if kind == b"zTXt":
        rest = rest[1:]
    else:
        packed = rest[:1] == b"\1"
        _, _, rest = rest[2:].partition(b"\0")  # the language
        _, _, rest = rest.partition(b"\0")  # the key in that language
    if not packed:
        return key, _text(rest), 0
    unpacked = unpack(rest, room)
    return key, None if unpacked is None else _text(unpacked), room if unpacked is None else len(unpacked)


def unpack(data: bytes, most: int) -> bytes | None:
    """What zlib packed, None if it is damaged or longer than `most` bytes: a small file may unpack to gigabytes."""
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(data, most + 1)
    except zlib.error:
        return None
    return found if len(found) <= most and unpacker.eof else None


def _text(data: bytes) -> str:
    """UTF-8, which many programs write into chunks meant for Latin-1, else Latin-1."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _exif_texts(block: bytes) -> dict[str, str]:
    fields = exif_values(block, (*EXIF_NAMES, EXIF_FOLDER))
    folder = fields.pop(EXIF_FOLDER, 0)
    comment = exif_values(block, (USER_COMMENT,), folder) if isinstance(folder, int) and folder else {}
    values = {EXIF_NAMES[tag]: value for tag, value in fields.items()} | {COMMENT: comment.get(USER_COMMENT)}
    texts = {name: _exif_text(value) for name, value in values.items()}
    return {name: text for name, text in texts.items() if text}


def _exif_text(value: object) -> str:
    """A field of EXIF: text, or bytes led by eight that name their encoding."""
    if isinstance(value, str):
        # Pillow reads text fields as Latin-1, and programs write UTF-8 into them.
        try:
            return value.encode("latin-1").decode("utf-8").strip("\0 ")
        except (UnicodeEncodeError, UnicodeDecodeError):
            return value.strip("\0 ")
    if not isinstance(value, bytes):
        return ""
    code, body = value[:8], value[8:]
    if code.startswith(b"UNICODE"):
        return _utf16(body).strip("\0 ")
    if code.startswith((b"ASCII", b"JIS")) or not code.strip(b"\0"):
        return _text(body).strip("\0 ")
    return _text(value).strip("\0 ")


def _utf16(data: bytes) -> str:
    """UTF-16 whose byte order nobody says: that of most programs, unless its letters then are not Latin and they could be."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if data[:1] in (b"{", b"[") and data[1:2] not in (b"\0", b""):
        return _text(data)  # SwarmUI and some of Fooocus write UTF-8 and call it UNICODE
    little = data[1::2].count(0) > data[0::2].count(0)
    return data.decode("utf-16-le" if little else "utf-16-be", "replace")
