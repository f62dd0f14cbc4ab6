"""Every reader of what visitors send: twice the input is about twice the work, and any input is read or refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersd_app.catalog.lora.check import check_lora
from hypersd_app.errors import HyperSDError, InvalidRequest
from hypersd_app.images.exif import exif_values
from hypersd_app.images.recipes.a1111 import parse_a1111
from hypersd_app.images.recipes.foreign import fitted
from hypersd_app.prompts.schedules import prompt_schedule
from hypersd_app.prompts.tags import take_tags
from hypersd_app.prompts.weights import a1111_segments, comfyui_segments
from hypersd_app.requests import request_from_json
from hypersd_app.safety.prompt_filter import PromptFilter
from hypersd_app.server.http.png_recipes import read_recipe
from hypersd_app.server.http.tokens import TokenSigner
from hypersd_app.server.http.wire import Message, pack, parts_of, unpack
from hypersd_app.server.scheduling.limits import limits_of
from hypersd_app.ui.compare.grid import styles_from_text
from tests.support.recipe_files import png, text_chunk, with_text
from tests.support.work import lines_run

SIZE = 80  # repeats
MOST = 2.3  # times the lines for twice the input
STEPS = 4

TEXTS: dict[str, Callable[[str], object]] = {
    "A1111's weights": a1111_segments,
    "ComfyUI's weights": comfyui_segments,
    "schedules": lambda text: prompt_schedule(text, STEPS),
    "tags": take_tags.__wrapped__ if hasattr(take_tags, "__wrapped__") else take_tags,
    "the filter": lambda text: PromptFilter().check(text),
    "A1111's settings": lambda text: fitted(parse_a1111(f"a cat\nSteps: 1, {text}")),
    "A1111's prompt": lambda text: fitted(parse_a1111(text)),
    "styles": styles_from_text,
    "limits": limits_of,
    "a token": TokenSigner().visitor,
    "a recipe of another program": lambda text: read_recipe(
        with_text(json.dumps({"prompt": text, "steps": text, "loras": [text]}))
    ),
    "a request": lambda text: request_from_json({"prompt": text, "styles": [{"name": text, "weight": 1}]}),
}
UNITS = (
    "(", "[", "((", "(a:1.1)", "[a:b:0.5]", "[a|b]", ":", ": ", " ", "_", "a ", "a, ", "\\", "\\(", "BREAK ", "<lora:a:1>",
    "<lora:", "<", '"', ': "', "Steps: 1, ", "Negative prompt:", "\n", "a: b\n", "1", "1.", "+a:1", "sessions=1 ",
    "é", "\U0001d552",
)  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_twice_the_text_is_twice_the_work(name: str) -> None:
    read = TEXTS[name]
    for unit in UNITS:
        once, twice = (lines_run(read, unit * count) for count in (SIZE, 2 * SIZE))
        assert twice <= MOST * once + 300, f"{unit!r}: {once} and {twice} lines"


def head_of(count: int) -> bytes:
    """A frame whose head has many fields."""
    return pack(Message(1, {"prompt": "a", **{f"x{i}": i for i in range(count)}}))


def frame_parts(count: int) -> Message:
    return Message(1, {"prompt": "a", "parts": {f"x{i}": 0 for i in range(count)}})


def graph(count: int) -> bytes:
    """Nodes of ComfyUI, each leading to the next."""
    rows = {str(i): {"class_type": "KSampler", "inputs": {"positive": [str(i + 1), 0], "x": "y"}} for i in range(count)}
    return with_text(json.dumps(rows), "prompt")


def directory(count: int) -> bytes:
    rows = b"".join(struct.pack("<HHLL", 1, 2, 9, 8) for _ in range(count))
    return b"II*\0" + struct.pack("<LH", 8, count) + rows + bytes(4)


BINARY: dict[str, tuple[Callable[[Any], object], Callable[[int], Any]]] = {
    "a frame": (unpack, head_of),
    "parts of a frame": (parts_of, frame_parts),
    "EXIF": (lambda block: exif_values(block, (1, 2)), directory),
    "chunks": (read_recipe, lambda count: png(*[text_chunk(f"k{i}", "x") for i in range(count)])),
    "packed chunks": (read_recipe, lambda count: png(*[text_chunk(f"k{i}", "x", "zip") for i in range(count)])),
    "a ComfyUI graph": (read_recipe, graph),
    "our recipe": (read_recipe, lambda count: with_text(json.dumps({"format": 1, "operations": [{}] * count}), "hypersd")),
}


@pytest.mark.parametrize("name", BINARY)
def test_twice_the_bytes_are_twice_the_work(name: str) -> None:
    read, made = BINARY[name]
    once, twice = (lines_run(read, made(count)) for count in (SIZE, 2 * SIZE))
    assert twice <= MOST * once + 300, f"{once} and {twice} lines"


def test_twice_the_tensors_are_twice_the_work(tmp_path: Path) -> None:
    def lora(count: int) -> Path:
        rows = {f"lora_unet_x{i}.lora_down.weight": {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]} for i in range(count)}
        header = json.dumps(rows).encode()
        path = tmp_path / f"{count}.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        return path

    once, twice = (lines_run(check_lora, lora(count)) for count in (SIZE, 2 * SIZE))
    assert twice <= MOST * once + 300, f"{once} and {twice} lines"


def test_more_than_twice_would_be_seen() -> None:
    """The count itself: pairs of letters are four times as many."""
    from tests.support import work

    def pairs(text: str) -> int:
        return sum(1 for one in text for other in text if one == other)

    counted = [lines_run(pairs, "a" * count) for count in (20, 40)]
    assert counted == [0, 0], "only the package's lines count"
    before, work.PACKAGE = work.PACKAGE, str(Path(__file__).parent)
    try:
        once, twice = (lines_run(pairs, "a" * count) for count in (20, 40))
    finally:
        work.PACKAGE = before
    assert twice > MOST * once


SYNTAX = st.lists(st.sampled_from([*UNITS, "x", "0.5", "\0", "]", ")", "|", ">"]), max_size=60).map("".join)


@given(SYNTAX | st.text(max_size=200), st.sampled_from([*TEXTS]))
@settings(max_examples=100, deadline=None)
def test_any_text_is_read_or_refused(text: str, name: str) -> None:
    try:
        TEXTS[name](text)
    except HyperSDError as error:
        assert str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["prompt", "parts", "styles", "seed", "x"]), inner),
    max_leaves=12,
)


@given(
    st.binary(max_size=100)
    | st.builds(lambda value: struct.pack("<II", 1, len(value)) + value, JSON.map(lambda v: json.dumps(v).encode()))
)
@settings(max_examples=100, deadline=None)
def test_any_frame_is_read_or_refused(data: bytes) -> None:
    try:
        message = unpack(data)
        parts_of(message)
        request_from_json(message.head)
    except InvalidRequest as error:
        assert error.field
