# ruff: noqa: E501 - tables of texts as programs write them
"""Recipes in image files of this and other programs: what is read, what is told, and that no file is too much."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.recipes.a1111 import parse_a1111
from hypersd_app.images.recipes.foreign import fitted
from hypersd_app.images.recipes.texts import image_texts, unpack
from hypersd_app.requests import MAX_SEED, request_from_json
from hypersd_app.server.http.png_recipes import read_recipe
from tests.support.bounded import bounded
from tests.support.recipe_files import (
    A1111,
    COMFYUI,
    FLUX,
    FOOOCUS,
    INVOKEAI,
    INVOKEAI_2,
    SWARMUI,
    a1111,
    bomb,
    control,
    own,
    png,
    text_chunk,
    with_exif,
    with_text,
)  # fmt: skip

PLAIN = {"prompt": "a red apple", "negative_prompt": "blurry, dark", "seed": 4242, "num_inference_steps": 20}


def read(data: bytes) -> tuple[dict[str, Any], str]:
    """Head and what was changed, as one text; the head makes a request."""
    recipe = read_recipe(data)
    request_from_json(recipe["head"])
    return recipe["head"], "; ".join(recipe["changed"])


@pytest.mark.parametrize(
    "data",
    [
        with_text(A1111), with_text(A1111, kind="iTXt"), with_text(A1111, kind="zTXt"), with_text(A1111, kind="zip"),
        png(after=[text_chunk("parameters", A1111)]),
        with_exif(A1111), with_exif(A1111, "WEBP"), with_exif(A1111, "JPEG", "utf-16-le"), with_exif(A1111, "PNG"),
    ],
    ids=["tEXt", "iTXt", "zTXt", "packed iTXt", "after the pixels", "JPEG", "WebP", "little endian", "EXIF in a PNG"],
)  # fmt: skip
def test_a1111_is_read_wherever_it_stands(data: bytes) -> None:
    head, changed = read(data)
    assert head | PLAIN == head and (head["width"], head["height"], head["model"]) == (512, 512, "someMix_v3")
    assert head["guidance_scale"] == 7 and changed == "settings of A1111 that are not kept: sampler Euler a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a red apple\nNegative prompt: blurry\nSize: 512x512, Seed: 4242, Model: m, Steps: 20, CFG scale: 7, Sampler: Euler a",
            {"prompt": "a red apple", "negative_prompt": "blurry", "seed": 4242, "num_inference_steps": 20, "width": 512},
        ),
        (
            'a red apple\nNegative prompt: blurry\nSteps: 20, Seed: 4242, Model: m, Wildcard prompt: "fruit\nlarge", Version: v1.5.1',
            {"prompt": "a red apple", "negative_prompt": "blurry", "seed": 4242, "model": "m"},
        ),
        (
            "a red apple\nSteps: 20, Seed: 4242, CFG scale: 7\nTemplate: a {red|blue} apple, Seed: 5\nNegative Template: x",
            {"prompt": "a red apple", "seed": 4242, "num_inference_steps": 20},
        ),
        (
            'a red apple\nSteps: 20, Lora hashes: "ink: 01, clay: 02", Seed: 4242, Hashes: {"model": "6c"}, CFG scale: 7',
            {"prompt": "a red apple", "seed": 4242, "guidance_scale": 7},
        ),
        ("Steps: the way up\na staircase\nSteps: 20, Seed: 4242", {"prompt": "Steps: the way up\na staircase", "seed": 4242}),
        ('a sign saying "Negative prompt: none"\nSteps: 4', {"prompt": 'a sign saying "Negative prompt: none"', "negative_prompt": ""}),
        ("ratio 3:4, f:1.8, mood: calm", {"prompt": "ratio 3:4, f:1.8, mood: calm"}),
        ("一个红苹果, яблоко, 🍎\nNegative prompt: ぼやけた\nSteps: 20, Seed: 4242", {"prompt": "一个红苹果, яблоко, 🍎", "negative_prompt": "ぼやけた"}),
        ("<b>a < b</b>\nSteps: 4", {"prompt": "<b>a < b</b>"}),
        ("", {"prompt": ""}),
    ],
)  # fmt: skip
def test_settings_are_found_in_any_order_and_quoted(text: str, expected: dict[str, Any]) -> None:
    head, _ = fitted(parse_a1111(text))
    assert head | expected == head


@pytest.mark.parametrize(
    ("tag", "weight", "told"),
    [
        ("<lora:ink>", 1.0, ""),
        ("<lora:ink:0.8>", 0.8, ""),
        ("<lora:ink:.5>", 0.5, ""),
        ("<lora:ink:-1>", -1.0, ""),
        ("<lyco:ink:0.8>", 0.8, ""),
        ("<lora:ink:0.8:lbw=OUTALL>", 0.8, "block weights"),
        ("<lora:ink:1:0.8>", 0.8, "one weight"),
        ("<lora:ink:te=0.2:unet=0.8>", 0.8, ""),
        ("<lora:ink:2.5>", 2.0, "2 instead of 2.5"),
    ],
)
def test_a_tag_becomes_a_style_and_what_it_loses_is_told(tag: str, weight: float, told: str) -> None:
    head, changed = read(with_text(a1111(f"a red apple {tag}, on a table")))
    assert head["prompt"] == "a red apple, on a table"
    assert head["styles"] == [{"name": "ink", "weight": weight}]
    lost = changed.replace("settings of A1111 that are not kept: sampler Euler a", "").strip("; ")
    assert told in lost and bool(told) == bool(lost)


def test_what_does_not_fit_is_changed_and_told() -> None:
    head, changed = read(with_text(a1111("a cat " * 1200, "Steps: 90, Seed: 648312782957426, CFG scale: 1, Sampler: Euler")))
    assert head["seed"] == 648312782957426 % (MAX_SEED + 1) and "648312782957426" in changed
    assert head["num_inference_steps"] == 50 and "50 steps instead of 90" in changed
    assert len(head["prompt"]) <= 6000 and "7199 characters" in changed
    _, changed = read(with_text(a1111("a red apple", f"Steps: 1, Seed: {'9' * 700}")))
    assert "could not be read" in changed
    _, changed = read(with_text(a1111("a red apple <hypernet:x:1>" + "".join(f"<lora:s{i}>" for i in range(9)))))
    assert "hypernet x is not applied" in changed and "first 4 of 9" in changed


def test_prompts_keep_the_grammar_of_their_program() -> None:
    head, _ = read(with_text(a1111("a (red:1.3) apple", "Steps: 4, Seed: 1, CFG scale: 1, Sampler: LCM, Clip skip: 2")))
    assert (head["prompt_grammar"], head["clip_skip"], head["prompt"]) == ("a1111", 2, "a (red:1.3) apple")


COMMON = {"prompt": "a red apple", "negative_prompt": "blurry", "seed": 4242, "model": "someMix_v3"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (with_text(json.dumps(FOOOCUS)), COMMON | {"num_inference_steps": 30, "width": 512, "height": 640}),
        (with_exif(json.dumps(FOOOCUS)), COMMON | {"num_inference_steps": 30}),
        (with_text(json.dumps(SWARMUI)), COMMON | {"num_inference_steps": 20, "height": 640}),
        (with_exif(json.dumps(SWARMUI), "JPEG", "utf-8"), COMMON | {"num_inference_steps": 20, "height": 640}),
        (with_text(json.dumps(INVOKEAI), "invokeai_metadata"), COMMON | {"num_inference_steps": 20, "height": 640}),
    ],
    ids=["Fooocus", "Fooocus JPEG", "SwarmUI", "SwarmUI JPEG", "InvokeAI"],
)
def test_other_programs_are_read(data: bytes, expected: dict[str, Any]) -> None:
    head, _ = read(data)
    assert head | expected == head and head["styles"] == [{"name": "ink", "weight": 0.5}]


def test_older_and_other_forms() -> None:
    head, _ = read(with_text(json.dumps(INVOKEAI_2), "sd-metadata"))
    assert (head["prompt"], head["seed"], head["width"]) == ("a red apple", 4242, 512)
    head, _ = read(
        with_text(
            json.dumps({"prompt": "a cat", "uc": "x", "steps": 28, "scale": 5, "seed": 1, "width": 8, "height": 8}), "Comment"
        )
    )
    assert (head["prompt"], head["negative_prompt"], head["guidance_scale"]) == ("a cat", "x", 5)


@pytest.mark.parametrize(
    "data",
    [
        with_text(json.dumps(COMFYUI), "prompt"),
        with_exif("prompt:" + json.dumps(COMFYUI), "WEBP", tag=0x0110),
        with_text(json.dumps({"prompt": COMFYUI, "workflow": {}})),
    ],
)
def test_comfyui_is_read_through_its_graph(data: bytes) -> None:
    head, changed = read(data)
    assert (head["prompt"], head["negative_prompt"], head["num_inference_steps"], head["guidance_scale"]) == (
        "a red apple",
        "blurry",
        4,
        1.5,
    )
    assert (head["width"], head["height"], head["model"]) == (640, 512, "someMix_v3")
    assert head["styles"] == [{"name": "ink", "weight": 0.7}]
    assert "648312782957426" in changed and "one weight" in changed


def test_comfyui_graphs_of_another_build() -> None:
    head, _ = read(with_text(json.dumps(FLUX), "prompt"))
    assert (head["prompt"], head["seed"], head["num_inference_steps"], head["width"], head["model"]) == (
        "a red apple",
        7,
        8,
        768,
        "flux1",
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (with_text('{"nodes": []}', "workflow"), "ComfyUI workflow"),
        (with_text('{"1": {"class_type": "LoadImage", "inputs": {}}}', "prompt"), "no sampler"),
        (with_text('{"a": 1}'), "program that is not known"),
        (with_text("{broken"), "no recipe"),
        (png(), "without a recipe"),
        (b"GIF89a", "no PNG, JPEG or WebP"),
        (b"", "no PNG, JPEG or WebP"),
        (with_text('["a"]', "hypersd"), "unreadable recipe"),
        (with_text("[" * 100_000, "hypersd"), "unreadable recipe"),
        (with_text("[" * 300_000, "hypersd"), "too many parts"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_recipe(data)


@pytest.mark.parametrize(
    "request_values",
    [
        {"eta": []}, {"model": []}, {"recipe": 3}, {"width": "wide"}, {"width": 0.5}, {"guidance_scale": {}}, {"decoder": ["full"]},
        {"prompt": None}, {"prompt": "\ud800"}, {"seed": 1e300}, {"seed": True}, {"styles": {}}, {"styles": "ink"}, {"styles": [3]},
        {"styles": [{"name": [], "weight": 1}]}, {"styles": [{"name": "ink", "weight": "1"}]}, {"styles": [{"name": "x", "weight": 1}] * 99},
        {"control": []}, {"control": {"kind": "scribble", "scale": 1.0, "png": "!"}}, {"control": {"kind": 3, "scale": 1, "png": ""}},
        {"control": {**control(64, 64), "scale": 9}}, {"control": {**control(64, 64), "scale": []}}, {"num_images": 99},
    ],
)  # fmt: skip
def test_a_wrong_field_in_our_own_recipe_is_told(request_values: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        read_recipe(own(request_values))


@pytest.mark.parametrize("document", [{"operations": 3}, {"operations": [[]]}, {"compare": []}])
def test_a_wrong_document_is_told(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        read_recipe(own(**document))


BLANKS = " " * 1000
HARMFUL = {
    "blanks": with_text(f"a red apple\nSteps: 1,{BLANKS}", kind="zip"),
    "blanks before colons": with_text(f"a\nSteps: 1,{(BLANKS + 'x' + BLANKS + ':') * 30}"),
    "words": with_text("a\nSteps: 1, " + "x " * 30_000),
    "quotes": with_text("a\nSteps: 1, " + 'a: "' * 20_000),
    "backslashes": with_text("a\nSteps: 1, " + 'a: "' * 200 + '\\"' * 20_000),
    "commas": with_text("Steps: 1" + "," * 60_000),
    "lines": with_text("a: b\n" * 50_000),
    "tags": with_text("<lora:" * 50_000),
    "open brackets": with_text("<" * 60_000),
    "negatives": with_text("Negative prompt:\n" * 20_000),
    "a bomb": bomb(200),
    "a bomb of the older kind": bomb(200, kind="zTXt"),
    "a bomb of ours": bomb(200, "hypersd"),
    "many bombs": png(*[text_chunk(f"k{i}", "a" * 8_000_000, "zip") for i in range(20)]),
    "empty lists": with_text("[" + "[]," * 2_000_000 + "[]]", "hypersd", "zip"),
    "a giant control image": own({"control": control(12_000, 12_000)}),
    "a large control image": own({"control": control(4_000, 4_000)}),
    "a long number": with_text('{"format": 1, "request": {"seed": ' + "9" * 100_000 + "}}", "hypersd"),
    "a graph in a circle": with_text(
        json.dumps({str(i): {"class_type": "K", "inputs": {"positive": [str((i + 1) % 1500), 0]}} for i in range(1500)}), "prompt"
    ),
    "chunks": png(*[text_chunk("a", "b")] * 100_000),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_no_file_takes_long_or_much_memory(name: str) -> None:
    told = bounded(read_recipe, HARMFUL[name], seconds=1.0, megabytes=100)
    assert isinstance(told, (dict, InvalidRequest)), told


def test_unpacking_stops_where_it_may() -> None:
    import zlib

    assert unpack(zlib.compress(b"a" * 100), 100) == b"a" * 100
    assert unpack(zlib.compress(b"a" * 101), 100) is None and unpack(b"no zlib", 100) is None
    assert unpack(zlib.compress(b"a" * 100)[:-6], 1000) is None


SYNTAX = st.lists(
    st.sampled_from([*' \n\t:,"\\<>{}[]=x-.0123', "Steps: ", "Seed: ", "<lora:", "Negative prompt:", "é", "\0"]), max_size=300
).map("".join)


@given(SYNTAX | st.text(max_size=300))
@settings(max_examples=400, deadline=None)
def test_any_settings_text_makes_a_request_that_is_allowed(text: str) -> None:
    head, changed = fitted(parse_a1111(text))
    if head["prompt"].strip():
        request_from_json({**head, "prompt": head["prompt"].encode("utf-8", "ignore").decode() or "x"})
    assert all(isinstance(sentence, str) and len(sentence) < 400 for sentence in changed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable, max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["prompt", "positive_prompt", "uc", "sui_image_params", "loras", "loraweights", "model", "image", "steps", "seed", "resolution",
     "class_type", "inputs", "3", "positive", "styles", "width", "height", "request", "control", "operations", "eta", "cfg_scale"]
)  # fmt: skip


@given(
    st.sampled_from(["hypersd", "parameters", "prompt", "workflow", "invokeai_metadata", "sd-metadata", "Comment"]),
    st.dictionaries(FIELDS, JSON | st.dictionaries(FIELDS, JSON, max_size=4), max_size=6),
)
@settings(max_examples=400, deadline=None)
def test_any_json_is_read_or_refused(key: str, document: dict[str, Any]) -> None:
    try:
        recipe = read_recipe(with_text(json.dumps(document), key))
    except InvalidRequest:
        return
    assert "{" not in recipe["head"]["prompt"] or "{" in json.dumps(list(document.values()))


@given(
    st.binary(max_size=300),
    st.sampled_from([with_text(A1111), with_exif(A1111), with_exif(A1111, "WEBP"), own()]),
    st.integers(0, 400),
)
@settings(max_examples=300, deadline=None)
def test_any_damage_is_read_or_refused(noise: bytes, good: bytes, at: int) -> None:
    for data in (noise, good[:at] + noise, good[:at] + noise + good[at:], good[: at + 8] + good[at + 9 :]):
        try:
            read_recipe(data)
        except InvalidRequest as error:
            assert str(error)
    assert image_texts(b"\x89PNG\r\n\x1a\n" + noise) is not None
