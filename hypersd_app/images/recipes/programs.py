"""Recipes that other programs write as JSON: ComfyUI, Fooocus, SwarmUI, InvokeAI, NovelAI. JSON never becomes a prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.recipes.a1111 import parse_a1111
from hypersd_app.images.recipes.comfyui import parse_comfyui
from hypersd_app.images.recipes.foreign import ForeignRecipe, file_stem, from_mapping, number, whole, words
from hypersd_app.images.recipes.texts import COMMENT

ALLOWED = "an image with a recipe of this studio, A1111, Forge, ComfyUI, Fooocus, SwarmUI or InvokeAI"
Values = Mapping[str, Any]


def foreign_recipe(texts: Mapping[str, str]) -> ForeignRecipe:
    """The recipe in an image's texts. Raises InvalidRequest, which says what the file is if it is none that can be read."""
    for key in ("parameters", COMMENT, "exif:description", "Comment", "UserComment"):
        text = texts.get(key, "").strip()
        if not text:
            continue
        if text.startswith("{"):
            return _from_json(_object(text, key))
        if key in ("parameters", COMMENT, "UserComment"):
            return parse_a1111(text)
    for key in ("invokeai_metadata", "sd-metadata"):
        if key in texts:
            return _invokeai(_object(texts[key], key))
    graph = texts.get("prompt") or next(
        (texts[key].partition(":")[2] for key in ("exif:make", "exif:model") if texts.get(key, "").startswith("prompt:")), ""
    )
    if graph:
        return parse_comfyui(_object(graph, "prompt"))
    if "workflow" in texts or texts.get("exif:make", "").startswith("workflow:"):
        raise InvalidRequest("picture", "a ComfyUI workflow without the prompt it ran", ALLOWED)
    if "Dream" in texts:
        raise InvalidRequest("picture", "an image of an InvokeAI before version 2", ALLOWED)
    raise InvalidRequest("picture", "an image without a recipe", ALLOWED)


def _object(text: str, key: str) -> dict[str, Any]:
    """A JSON object. Raises InvalidRequest."""
    try:
        # Numbers of thousands of digits raise in int(), and NaN is no number: both are read as if they said nothing.
        found = json.loads(text, parse_int=whole, parse_constant=lambda _name: None)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidRequest("picture", f"an image whose {key} is no recipe", ALLOWED)
    return found


def _from_json(values: Values) -> ForeignRecipe:
    """JSON under a key that several programs use; each is known by fields that only it has."""
    readers: tuple[tuple[str, Callable[[Values], ForeignRecipe]], ...] = (
        ("sui_image_params", _swarmui),
        ("positive_prompt", _invokeai),
        ("uc", _novelai),
    )
    for field, reader in readers:
        if field in values:
            return reader(values)
    if any(isinstance(node, Mapping) and "class_type" in node for node in values.values()):
        return parse_comfyui(values)
    if isinstance(values.get("prompt"), Mapping):
        return parse_comfyui(values["prompt"])
    if "prompt" in values or "Prompt" in values:
        return _fooocus(values)
    raise InvalidRequest("picture", "an image with settings of a program that is not known here", ALLOWED)


def _fooocus(values: Values) -> ForeignRecipe:
    """Fooocus and its descendants; older ones write the labels of their page."""
    loras: list[tuple[str, float]] = [
        (file_stem(words(row[0])), weight)
        for row in values.get("loras") or ()
        if isinstance(row, list) and len(row) >= 2 and (weight := number(row[1])) is not None
    ]
    sides = words(from_mapping(values, "resolution", "Resolution")).strip("() ").partition(",")
    width, height = whole(sides[0]), whole(sides[2])
    return ForeignRecipe(
        program="Fooocus",
        prompt=words(from_mapping(values, "prompt", "Prompt")),
        negative_prompt=words(from_mapping(values, "negative_prompt", "Negative Prompt")),
        steps=whole(from_mapping(values, "steps", "Steps")),
        seed=whole(from_mapping(values, "seed", "Seed")),
        guidance_scale=number(from_mapping(values, "guidance_scale", "Guidance Scale")),
        size=(width, height) if width and height else None,
        model=file_stem(words(from_mapping(values, "base_model", "Base Model"))),
        styles=tuple(loras),
        notes=("Fooocus's own styles are not applied",) if values.get("styles") not in (None, [], "[]", "") else (),
    )


def _swarmui(values: Values) -> ForeignRecipe:
    found = values["sui_image_params"]
    if not isinstance(found, Mapping):
        raise InvalidRequest("picture", "an image of SwarmUI without its settings", ALLOWED)
    names, weights = _rows(found.get("loras")), [number(row) for row in _rows(found.get("loraweights"))]
    width, height = whole(found.get("width")), whole(found.get("height"))
    return ForeignRecipe(
        program="SwarmUI",
        prompt=words(found.get("prompt")),
        negative_prompt=words(found.get("negativeprompt")),
        steps=whole(found.get("steps")),
        seed=whole(found.get("seed")),
        guidance_scale=number(found.get("cfgscale")),
        size=(width, height) if width and height else None,
        model=file_stem(words(found.get("model"))),
        styles=tuple(
            (file_stem(words(name)), weights[i] if i < len(weights) and weights[i] is not None else 1.0)  # type: ignore[misc]
            for i, name in enumerate(names)
        ),
    )


def _rows(value: object) -> list[Any]:
    """A list, or text with commas between."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, list) else []


def _invokeai(values: Values) -> ForeignRecipe:
    """InvokeAI from version 3 on; versions 2 keep the same in "image"."""
    inner = values.get("image")
    old: Values = inner if isinstance(inner, Mapping) else {}
    said = old.get("prompt")
    if isinstance(said, list) and said and isinstance(said[0], Mapping):
        said = said[0].get("prompt")
    width, height = whole(from_mapping({**old, **values}, "width")), whole(from_mapping({**old, **values}, "height"))
    model = values.get("model")
    return ForeignRecipe(
        program="InvokeAI",
        prompt=words(values.get("positive_prompt") or said),
        negative_prompt=words(values.get("negative_prompt")),
        steps=whole(from_mapping({**old, **values}, "steps")),
        seed=whole(from_mapping({**old, **values}, "seed")),
        guidance_scale=number(from_mapping({**old, **values}, "cfg_scale")),
        size=(width, height) if width and height else None,
        model=words(from_mapping(model, "name", "model_name")) if isinstance(model, Mapping) else words(values.get("model_name")),
        styles=tuple(_invokeai_loras(values.get("loras"))),
    )


def _invokeai_loras(rows: object) -> Iterable[tuple[str, float]]:
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, Mapping):
            continue
        named = from_mapping(row, "model", "lora")
        name = words(from_mapping(named, "name", "model_name")) if isinstance(named, Mapping) else words(named)
        weight = number(row.get("weight"))
        yield name, 1.0 if weight is None else weight


def _novelai(values: Values) -> ForeignRecipe:
    width, height = whole(values.get("width")), whole(values.get("height"))
    return ForeignRecipe(
        program="NovelAI",
        prompt=words(values.get("prompt")),
        negative_prompt=words(values.get("uc")),
        steps=whole(values.get("steps")),
        seed=whole(values.get("seed")),
        guidance_scale=number(values.get("scale")),
        size=(width, height) if width and height else None,
    )
