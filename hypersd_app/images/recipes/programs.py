"""Recipes that other programs write as JSON: ComfyUI, Fooocus, SwarmUI, InvokeAI, NovelAI. JSON never becomes a prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.recipes.a1111 import parse_a1111
from hypersd_app.images.recipes.comfyui import parse_comfyui
from hypersd_app.images.recipes.foreign import ForeignRecipe, file_stem, from_mapping, number, plain, unused, whole, words
from hypersd_app.images.recipes.texts import COMMENT

ALLOWED = "an image with a recipe of this studio, A1111, Forge, ComfyUI, Fooocus, SwarmUI or InvokeAI"
Values = Mapping[str, Any]
# What each program says besides: names of fields that are read here, that say nothing of the image, or of how it was made alone.
FOOOCUS = (
    "prompt", "negative_prompt", "full_prompt", "full_negative_prompt", "steps", "seed", "guidance_scale", "resolution",
    "base_model", "base_model_hash", "loras", "styles", "clip_skip", "sampler", "scheduler", "metadata_scheme", "version",
    "created_by", "adm_guidance", "performance", "Prompt", "Negative Prompt", "Steps", "Seed", "Guidance Scale", "Resolution",
    "Base Model", "Sampler", "Scheduler", "Styles", "Performance", "Version", "Created By", "user", "Full Raw Prompt",
    "Full Raw Negative Prompt", "fooocus v2 expansion", "prompt_expansion", "lora_combined_1", "lora_combined_2",
    "lora_combined_3", "lora_combined_4", "lora_combined_5",
)  # fmt: skip
SWARMUI = (
    "prompt", "negativeprompt", "model", "seed", "steps", "cfgscale", "width", "height", "sidelength", "aspectratio", "loras",
    "loraweights", "clipstopatlayer", "sampler", "scheduler", "swarm_version", "date", "generation_time", "images",
    "automaticvae", "loratencweights", "prompt_presets", "original_prompt", "donotsave", "personalnote",
)  # fmt: skip
INVOKEAI = (
    "generation_mode", "positive_prompt", "negative_prompt", "width", "height", "seed", "cfg_scale", "steps", "scheduler",
    "sampler", "model", "model_name", "model_weights", "model_hash", "loras", "app_version", "type", "prompt", "rand_device",
    "app_id", "image", "postprocessing", "positive_style_prompt", "negative_style_prompt",
)  # fmt: skip
NOVELAI = (
    "prompt", "uc", "steps", "seed", "scale", "width", "height", "sampler", "noise_schedule", "n_samples", "request_type",
    "signed_hash", "version", "v4_prompt", "v4_negative_prompt", "uncond_scale", "legacy", "legacy_v3_extend", "legacy_uc",
    "params_version", "add_original_image", "lora_unet_weights", "lora_clip_weights", "deliberate_euler_ancestral_bug",
    "prefer_brownian", "hide_debug_overlay",
)  # fmt: skip


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
    inner = values.get("Comment")
    if isinstance(inner, str) and inner.startswith("{"):  # NovelAI's in a WebP: the texts of a PNG as one object
        return _from_json(_object(inner, "Comment"))
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
        clip_skip=whole(from_mapping(values, "clip_skip")),
        sampler=sampler_of(values, "sampler", "scheduler", "Sampler", "Scheduler"),
        model_hash=words(values.get("base_model_hash")),
        style_hashes=tuple(fooocus_hashes(values.get("loras"))),
        unkept=unused(values, FOOOCUS),
        notes=("Fooocus's own styles are not applied",) if values.get("styles") not in (None, [], "[]", "") else (),
    )


def fooocus_hashes(rows: object) -> Iterable[tuple[str, str]]:
    """Names and hashes of a list of [file, weight, hash]."""
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, list) and len(row) >= 3:
            yield file_stem(words(row[0])), words(row[2])


def sampler_of(values: Values, *fields: str) -> str:
    """What a recipe says of its sampler and the schedule of its steps."""
    return " ".join(dict.fromkeys(said for field in fields if (said := plain(values.get(field)))))


def _swarmui(values: Values) -> ForeignRecipe:
    found = values["sui_image_params"]
    if not isinstance(found, Mapping):
        raise InvalidRequest("picture", "an image of SwarmUI without its settings", ALLOWED)
    hashes = list(_swarmui_hashes(values.get("sui_models")))
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
        clip_skip=_swarmui_skip(found.get("clipstopatlayer")),
        sampler=sampler_of(found, "sampler", "scheduler"),
        model_hash=next((code for name, code in hashes if file_stem(name) == file_stem(words(found.get("model")))), ""),
        style_hashes=tuple((file_stem(name), code) for name, code in hashes),
        unkept=unused(found, SWARMUI),
    )


def _swarmui_hashes(rows: object) -> Iterable[tuple[str, str]]:
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, Mapping):
            yield words(row.get("name")), words(row.get("hash")).removeprefix("0x")


def _swarmui_skip(layer: object) -> int | None:
    """ComfyUI counts the last layer as -1."""
    found = whole(layer)
    return -found if found is not None and found < 0 else None


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
        sampler=sampler_of({**old, **values}, "sampler", "scheduler"),
        unkept=(*unused({**old, **values}, INVOKEAI), *_invokeai_parts(values)),
    )


def _invokeai_parts(values: Values) -> Iterable[tuple[str, str]]:
    """Lists of what acted beside the prompt: ControlNets, reference images."""
    for name in ("controlnets", "ipAdapters", "t2iAdapters", "ref_images", "regions"):
        rows = values.get(name)
        if isinstance(rows, list) and rows:
            yield name, str(len(rows))


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
        sampler=sampler_of(values, "sampler", "noise_schedule"),
        unkept=unused(values, NOVELAI),
    )
