"""Request values matched to what this server has and to what a recipe allows.

Recipes come from other programs and other machines, which have other models and styles; values come from fields that were set for
another recipe, or from an axis of the compare tab.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypersd_app.catalog.catalog import style_called
from hypersd_app.catalog.own_styles import is_own
from hypersd_app.catalog.specs import ModelSpec, Recipe, StyleSpec, has_hash
from hypersd_app.catalog.validation import one_of
from hypersd_app.errors import InvalidRequest
from hypersd_app.requests import optional_number, optional_whole, style_weights, whole, words
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.ui.i18n.texts import text

Values = dict[str, Any]  # a request as JSON values, see `requests.request_from_json`


def model_of(engine: ImageEngine, name: object) -> ModelSpec:
    """The named model. Raises InvalidRequest."""
    models: dict[str, ModelSpec] = {row.name: row for row in engine.models()}
    one_of("model", str(name), models)
    return models[str(name)]


def fitted(engine: ImageEngine, values: Values) -> Values:
    """`values` as its recipe allows: steps go to the nearest it was made for, options it lacks are left out."""
    model = model_of(engine, values.get("model"))
    recipe = _recipe_row(engine, model, values.get("recipe") or "")
    wanted = float(as_number("num_inference_steps", str(values.get("num_inference_steps", 1))))
    steps = min(recipe.steps, key=lambda count: abs(count - wanted))
    guidance = values.get("guidance_scale") if recipe.uses_guidance else None
    matters = recipe.negative_prompt_matters(None if guidance is None else as_number("guidance_scale", str(guidance)))
    known = {style.name for style in engine.styles(model.name)}
    return {
        **values,
        "recipe": recipe.name,
        "num_inference_steps": steps,
        "negative_prompt": values.get("negative_prompt", "") if matters else "",
        "eta": values.get("eta") if recipe.eta_matters(steps) else None,
        "guidance_scale": guidance,
        "styles": [style for style in values.get("styles") or () if style["name"] in known or is_own(style["name"])],
    }


def with_known_names(engine: ImageEngine, default_model: str, head: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """`head` with the default model and a recipe that allows its steps where its own are unknown, and the styles there are.

    Also returns what was asked for and is not here, in the page's words. Raises InvalidRequest for wrong types.
    """
    models = {row.name: row for row in engine.models()}
    model, recipe, decoder = (words(head, name) for name in ("model", "recipe", "decoder"))
    code = _code(head, "model")
    same = [row.name for row in models.values() if code and has_hash(row.hashes, code)]
    here_at_all = model in models or bool(same)
    found = model if model in models else same[0] if same else default_model
    steps = whole("num_inference_steps", head.get("num_inference_steps", 1))
    recipes = {row.name: row for row in engine.recipes(found)}
    fitting = [name for name, row in recipes.items() if steps in row.steps] or list(recipes)
    wanted = style_weights(head.get("styles") or ())
    here = engine.styles(found)
    known = {style.name for style in here}
    styles = [style if style.name in known else replace(style, name=_style_name(style.name, here, head)) for style in wanted]
    missing = [f"{text('text.model')} {model or code}"] if (model or code) and not here_at_all else []
    missing += [f"{text('text.recipe')} {recipe}"] if recipe and recipe not in recipes else []
    missing += [f"{text('text.style')} {style.name}" for style in styles if style.name not in known]
    missing += _not_allowed(models[found], recipes[recipe if recipe in recipes else fitting[0]], head)
    values = {
        **head,
        "model": found,
        "recipe": recipe if recipe in recipes else fitting[0],
        "num_inference_steps": steps,
        "styles": [{"name": style.name, "weight": style.weight} for style in styles if style.name in known],
        "decoder": decoder if decoder in [row.name for row in models[found].decoders] else "",
    }
    return values, missing


def _style_name(name: str, here: Sequence[StyleSpec], head: Mapping[str, Any]) -> str:
    """The style that other programs mean by `name`, or the file with the hash that they wrote; `name` if there is none."""
    found = style_called(name, here)
    code = _code(head, "styles", name)
    same = (style for style in here if code and has_hash(style.hashes, code))
    return style.name if (style := found or next(same, None)) else name


def _code(head: Mapping[str, Any], *path: str) -> str:
    """A hash in a recipe's head, "" if there is none."""
    value: Any = head.get("hashes")
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def _not_allowed(model: ModelSpec, recipe: Recipe, head: Mapping[str, Any]) -> list[str]:
    """The values that the recipe which is used instead cannot have, in the page's words."""
    steps, guidance = whole("num_inference_steps", head.get("num_inference_steps", 1)), optional_number(head, "guidance_scale")
    told = [] if steps in recipe.steps else [f"{text('text.steps')} {steps}"]
    if guidance is not None and guidance > 1 and not (recipe.guidance and recipe.guidance[0] <= guidance <= recipe.guidance[2]):
        told.append(f"{text('text.guidance')} {guidance:g}")
    if words(head, "negative_prompt").strip() and not recipe.negative_prompt_matters(guidance):
        told.append(text("text.negative"))
    for name in ("width", "height"):
        size = optional_whole(head, name)
        if size is not None and (not model.smallest <= size <= model.largest or size % model.size_multiple):
            told.append(f"{text(f'text.{name}')} {size}")
    return told


def as_number(field: str, value: str) -> float:
    """`value` as a number. Raises InvalidRequest."""
    try:
        return float(value)
    except ValueError:
        raise InvalidRequest(field, value, "a number") from None


def _recipe_row(engine: ImageEngine, model: ModelSpec, name: str) -> Recipe:
    rows: dict[str, Recipe] = {row.name: row for row in engine.recipes(model.name)}
    if name:
        one_of("recipe", name, rows)
    return rows[name] if name else next(iter(rows.values()))
