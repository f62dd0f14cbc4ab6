# ruff: noqa: E501 - tables of wrong things
"""A generator of bad inputs, the same for a seed: good ones taken apart and put together wrongly, and plain noise."""

from __future__ import annotations

import functools
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image, PngImagePlugin

HEAD: dict[str, Any] = {
    "prompt": "a cat", "negative_prompt": "", "model": "pocket", "recipe": "unified", "num_inference_steps": 1, "seed": 5,
    "num_images": 1, "guidance_scale": None, "eta": 0.5, "decoder": "", "control": "scribble", "width": 256, "height": 256,
    "controlnet_conditioning_scale": 1.0, "styles": [{"name": "ink", "weight": 0.5}],
}  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**64, -(10**400), 10**300, 1e308, float("nan"), float("inf"), 0.5, "", " ", "x" * 600, "\0", "\ud800",
    "١", "../../etc/passwd", "{{7*7}}", "<script>", [], [[]], [None], {}, {"a": {}}, [{"name": 3}], [{"weight": "x"}],
    [{"name": "ink", "weight": float("nan")}] * 9, b"".hex(), "None", "\u202e", "🦊" * 300, "%s%n", "'; drop table styles; --",
)  # fmt: skip


def nested(depth: int, opening: str = "[") -> str:
    """JSON that goes deeper than a parser's stack."""
    return opening * depth


def noise(chance: random.Random, most: int = 400) -> bytes:
    """Bytes that mean nothing."""
    return chance.randbytes(chance.randrange(most))


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Good bytes with some flipped, cut, doubled or put in."""
    way, at = chance.randrange(5), chance.randrange(len(data) or 1)
    if way == 0:
        return data[:at]
    if way == 1:
        changed = bytearray(data)
        for _ in range(chance.randint(1, 12)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed)
    if way == 2:
        return data[:at] + noise(chance, 60) + data[at:]
    if way == 3:
        return data[at:] + data[:at]
    return data + data


def values(chance: random.Random, good: dict[str, Any] = HEAD) -> dict[str, Any]:
    """A good object with some of its values wrong, missing or unknown."""
    changed = dict(good)
    for _ in range(chance.randint(1, 3)):
        name = chance.choice([*good, "unknown"])
        if chance.random() < 0.2:
            changed.pop(name, None)
        else:
            changed[name] = chance.choice(VALUES)
    return changed


def image(mode: str = "RGB", size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    """A small good image file."""
    buffer = io.BytesIO()
    Image.new(mode, size, 1 if mode in ("1", "P", "L") else (9,) * len(mode)).save(buffer, kind)
    return buffer.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    """One chunk, with a right checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def giant_png(width: int, height: int) -> bytes:
    """A header that promises an image of gigabytes, and hardly any data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def images(chance: random.Random) -> bytes:
    """An image file that is none, or not one to decode."""
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: noise(chance),
        lambda: damaged(image(kind=chance.choice(("PNG", "JPEG", "WEBP", "GIF", "BMP"))), chance),
        lambda: giant_png(*chance.choice(((50_000, 50_000), (2**31 - 1, 2**31 - 1), (1, 2**30), (0, 5), (6000, 1000)))),
        lambda: b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        lambda: image(kind="TIFF"),
        lambda: b"\x89PNG\r\n\x1a\n" + noise(chance),
    )
    return chance.choice(kinds)()


def frames(chance: random.Random) -> bytes:
    """A message of the drawing board that cannot be drawn, or is drawn although it is odd."""
    sequence = chance.choice((0, 1, 2**32 - 1, chance.randrange(2**32)))
    head = json.dumps(values(chance)).encode()
    texts = (
        head,
        damaged(head, chance),
        nested(16_000).encode(),
        nested(5000, '{"a":').encode(),
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"",
    )
    body = chance.choice(texts)
    length = chance.choice((len(body), len(body), len(body), 0, 2**32 - 1, len(body) + 1))
    message = struct.pack("<II", sequence, length) + body + chance.choice((b"", images(chance), image()))
    return chance.choice((message, message, damaged(message, chance), noise(chance, 20)))


def recipes(chance: random.Random) -> bytes:
    """A PNG whose recipe is not one."""
    texts = PngImagePlugin.PngInfo()
    good = {"format": 1, "request": dict(HEAD), "operations": []}
    ours = (
        json.dumps(values(chance, good)),
        json.dumps({**good, "request": values(chance)}),
        nested(50_000),
        noise(chance).hex(),
        "null",
    )
    theirs = (
        "Steps: x, Seed: y",
        "a <lora:x:1.2.3>\nSteps: 99999999999999999999, Seed: -1",
        "\n\n",
        "Negative prompt:" * 50,
        "Steps: ,,,",
    )
    key = chance.choice(("hypersd", "parameters", "hypersd_studio", "Comment"))
    texts.add_itxt(key, chance.choice((*ours, *theirs)), zip=chance.random() < 0.5)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=texts)
    return chance.choice((buffer.getvalue(), damaged(buffer.getvalue(), chance), images(chance)))


@functools.cache
def crowded() -> str:
    """A header of more tensors than any LoRA has."""
    return json.dumps({f"{i}": {"dtype": "F16", "shape": [4, 384], "data_offsets": [0, 3072]} for i in range(25_000)})


@functools.cache
def long_winded() -> str:
    """A header of nine megabytes."""
    return json.dumps({"__metadata__": {"x": "y" * 9_000_000}})


def lora_files(chance: random.Random) -> bytes:
    """A file that calls itself a LoRA."""
    name = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    down = {"dtype": "F16", "shape": [4, 384], "data_offsets": [0, 3072]}
    up = {"dtype": "F16", "shape": [256, 4], "data_offsets": [3072, 5120]}
    row = chance.choice((down, up))
    field = chance.choice(tuple(row))
    wrong = chance.choice((None, -1, [], [0], [-4, 384], [2**62, 2**62], [1e9], [5120, 0], [0, 2**63], "F999", {}, [[1]], [4] * 40))
    header: Any = {f"{name}.lora_A.weight": dict(down), f"{name}.lora_B.weight": dict(up)}
    broken = {key: {**value, field: wrong} if value == row else value for key, value in header.items()}
    texts: tuple[Callable[[], str], ...] = (
        lambda: json.dumps(broken), lambda: json.dumps(broken), lambda: nested(90_000), lambda: chance.choice(("[]", "null", "3", "{}")),
        lambda: json.dumps({name: 3}), lambda: json.dumps(header)[:-5], lambda: json.dumps({f"{name}.lora_A.weight": down}),
        lambda: json.dumps({**header, "__metadata__": [1]}), crowded if chance.random() < 0.1 else lambda: "{]",
        long_winded if chance.random() < 0.1 else lambda: "{}",
    )  # fmt: skip
    body = chance.choice(texts)().encode()
    length = chance.choice((len(body), len(body), len(body), 2**63, 2**64 - 1, 0, 99 * 2**20))
    whole = struct.pack("<Q", length) + body + bytes(chance.choice((0, 100, 5120)))
    return chance.choice(
        (whole, whole, noise(chance), whole[:7], b"PK\x03\x04" + noise(chance), b"\x80\x04c__main__\n" + noise(chance))
    )


def calls(chance: random.Random, endpoints: tuple[str, ...], bridge: int) -> tuple[str, str, dict[str, Any]]:
    """An HTTP request as (method, path, httpx options): the right path with a wrong body, or a wrong path."""
    api = "/gradio_api"
    server = {
        "session_hash": "s",
        "component_id": bridge,
        "fn_name": chance.choice(("board_token", "board_frame", "page_call")),
        "data": None,
    }
    join = {"data": [1], "fn_index": 0, "session_hash": "s", "event_data": None, "trigger_id": 1}
    endpoint = f"{api}/call/{chance.choice(endpoints)}"
    arguments = [chance.choice(VALUES) for _ in range(chance.randrange(6))]
    any_json = chance.choice((values(chance, server), values(chance, join), {"data": arguments}, *VALUES[:6], [], nested(4000)))
    kinds: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", f"{api}/component_server", {"content": as_json(values(chance, server))}),
        ("POST", f"{api}/component_server", {"data": {"message": noise(chance).hex()}, "files": {"file": ("frame.bin", noise(chance))}}),
        ("POST", f"{api}/component_server", {"data": {**text_values(server), "message": as_json({"token": "x", "task": "grid"})},
                                             "files": {"file": ("frame.bin", frames(chance))}}),
        ("POST", f"{api}/component_server", {"content": noise(chance), "headers": {"content-type": "multipart/form-data; boundary=x"}}),
        ("POST", f"{api}/queue/join", {"content": as_json(values(chance, join))}),
        ("POST", endpoint, {"content": as_json({"data": arguments})}),
        ("POST", endpoint, {"content": as_json(any_json)}),
        ("POST", f"{api}/run/{chance.choice(endpoints)}", {"content": as_json({"data": arguments})}),
        ("POST", f"{api}/upload", {"content": noise(chance), "headers": {"content-type": chance.choice(("", "multipart/form-data", "x"))}}),
        ("POST", f"{api}/upload", {"files": {"files": ("../../x.png", images(chance))}}),
        ("GET", f"{api}/file={chance.choice(('/etc/passwd', '../app.py', 'app.py', '//', chr(0x1F98A)))}", {}),
        ("GET", chance.choice(("/studio/board", "/health?x=" + "y" * 500, "/ready/..", "/metrics", "/%00", "/nowhere", f"{api}/info")), {}),
        ("POST", chance.choice(("/", "/health", "/config", f"{api}/cancel", f"{api}/reset", f"{api}/mcp/")), {"content": as_json(any_json)}),
        (chance.choice(("PUT", "DELETE", "OPTIONS")), chance.choice(("/", endpoint, f"{api}/upload")), {"content": noise(chance)}),
    )  # fmt: skip
    return chance.choice(kinds)


def as_json(value: Any) -> bytes:
    """JSON as a careless client writes it: NaN and half surrogates included."""
    return json.dumps(value).encode()


def text_values(good: dict[str, Any]) -> dict[str, str]:
    """Form fields."""
    return {name: str(value) for name, value in good.items()}


def many(make: Callable[[random.Random], Any], count: int, seed: int = 0) -> Iterator[Any]:
    """`count` of what `make` makes, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        yield make(chance)
