"""Nothing of a wrong type gets into a request, whoever makes it: a request waits in queues where no visitor is asked again."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from hypersd_app.errors import InvalidRequest
from hypersd_app.requests import (
    BatchKey,
    ControlInput,
    GenerationRequest,
    InitImage,
    StyleWeight,
    request_from_json,
    request_to_json,
)

IMAGE = np.zeros((8, 8, 3), np.uint8)
TEXT: tuple[Any, ...] = (None, 3, 1.5, True, b"bytes", ["a"], {"a": 1}, "\ud800", "x" * 501)
WHOLE: tuple[Any, ...] = ("3", 1.5, True, [], {}, float("nan"), 10**30, b"1", -1)
NUMBER: tuple[Any, ...] = ("3", True, [], {}, (1.0,), float("nan"), float("inf"), 10**400, b"1", 1j)
WRONG: dict[str, tuple[Any, ...]] = {
    "prompt": (*TEXT[:-1], "", "   ", "x" * 6001),
    "negative_prompt": (*TEXT[:-1], "x" * 6001),
    "model": TEXT,
    "recipe": TEXT,
    "num_inference_steps": (*WHOLE, None, 0, 51),
    "guidance_scale": NUMBER,
    "eta": NUMBER,
    "seed": (*WHOLE, None, 2**32),
    "num_images": (*WHOLE, None, 0, 9),
    "width": tuple(value for value in WHOLE if value != -1),
    "height": tuple(value for value in WHOLE if value != -1),
    "styles": (None, "ink", ["ink"], ("ink",), (("ink", 1.0),), [StyleWeight("ink")], 3, {"ink": 1.0}, (StyleWeight("ink"),) * 5),
    "control": ("scribble", IMAGE, {"kind": "scribble"}, 3, []),
    "init": ("picture.png", IMAGE, {"strength": 0.5}, 3, []),
    "decoder": TEXT,
    "prompt_grammar": (*TEXT, "latin"),
    "clip_skip": (*WHOLE, 0, 13),
}
WRONG_STYLE: dict[str, tuple[Any, ...]] = {"name": TEXT, "weight": (*NUMBER, None, 2.1, -2.1)}
MASK = np.zeros((8, 8), np.uint8)
WRONG_INIT: dict[str, tuple[Any, ...]] = {
    "image": (None, "x", [[0]], IMAGE / 2, IMAGE[..., 0], IMAGE[..., :2], IMAGE[None], IMAGE[:7], np.zeros((8, 4097, 3), np.uint8)),
    "strength": (*NUMBER, None, -0.01, 1.01),
    "mask": ("x", [[0]], IMAGE, MASK[:7], MASK[:, :4], MASK > 0, MASK.astype(np.float32), np.zeros((9, 9), np.uint8)),
}
WRONG_CONTROL: dict[str, tuple[Any, ...]] = {
    "image": (None, "x", [[0]], IMAGE.astype(np.float32), IMAGE[..., 0], IMAGE[..., :2], IMAGE[None]),
    "kind": TEXT,
    "scale": (*NUMBER, None, -0.1, 2.1),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_a_request_refuses_the_wrong_type(field: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=field.split("_")[0]):
        GenerationRequest(**{"prompt": "a cat", field: value})


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG_STYLE.items() for value in values])
def test_a_style_refuses_the_wrong_type(field: str, value: object) -> None:
    with pytest.raises(InvalidRequest):
        StyleWeight(**{"name": "ink", field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG_CONTROL.items() for value in values])
def test_a_control_image_refuses_the_wrong_type(field: str, value: object) -> None:
    with pytest.raises(InvalidRequest):
        ControlInput(**{"image": IMAGE, field: value})


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG_INIT.items() for value in values])
def test_an_init_image_refuses_the_wrong_type(field: str, value: object) -> None:
    named = "strength" if field == "strength" else "init" if field == "image" else "mask"
    with pytest.raises(InvalidRequest, match=named):
        InitImage(**{"image": IMAGE, field: value})


def test_every_field_is_tried() -> None:
    rows = ((GenerationRequest, WRONG), (StyleWeight, WRONG_STYLE), (ControlInput, WRONG_CONTROL), (InitImage, WRONG_INIT))
    for kind, tried in rows:
        assert {field.name for field in fields(kind)} == set(tried)


def test_a_request_has_a_key_of_its_options_alone() -> None:
    request = GenerationRequest("a cat", styles=(StyleWeight("ink", 0.5), StyleWeight("clay")), control=ControlInput(IMAGE))
    same = GenerationRequest("a dog", "fur", seed=5, styles=request.styles, control=ControlInput(IMAGE + 1))
    assert request.batch_key() == same.batch_key() and hash(request.batch_key()) == hash(same.batch_key())
    assert request.batch_key().control == "scribble"
    assert GenerationRequest("a cat").batch_key("canny").control == "canny"
    options = {field.name for field in fields(GenerationRequest)} - {
        "prompt",
        "negative_prompt",
        "seed",
        "prompt_grammar",
        "clip_skip",
    }
    assert {field.name for field in fields(BatchKey)} == options | {"tags"}
    assert GenerationRequest("a cat <lora:ink:0.5>").batch_key().tags == (StyleWeight("ink", 0.5),)


def test_strength_is_part_of_the_key_and_the_pixels_painted_on_are_not() -> None:
    plain, painted = GenerationRequest("a cat"), GenerationRequest("a cat", init=InitImage(IMAGE, 0.5))
    other = GenerationRequest("a dog", init=InitImage(IMAGE + 1, 0.5, MASK))
    assert painted.batch_key() == other.batch_key() != plain.batch_key()
    assert painted.batch_key() != GenerationRequest("a cat", init=InitImage(IMAGE, 0.4)).batch_key()
    assert plain.batch_key(strength=0.5) == painted.batch_key(), "the key of a frame whose image is decoded later"


def test_the_seeds_of_a_batch_wrap_round() -> None:
    assert GenerationRequest("a cat", seed=2**32 - 1, num_images=3).seeds == (2**32 - 1, 0, 1)


def test_json_and_back() -> None:
    request = GenerationRequest(
        "a cat",
        "fur",
        recipe="teacher",
        num_inference_steps=8,
        guidance_scale=2.5,
        seed=9,
        width=256,
        styles=(StyleWeight("ink", 0.5),),
    )
    assert request_from_json(request_to_json(request)) == request
    with pytest.raises(InvalidRequest, match="eta"):
        request_from_json({"prompt": "a cat", "eta": []})
