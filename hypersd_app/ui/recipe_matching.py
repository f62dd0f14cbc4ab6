"""Request values matched to what this server has and to what a recipe allows.

Recipes come from other programs and other machines, which have other models and styles; values come from fields that were set for
another recipe, or from an axis of the compare tab.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypersd_app.catalog.specs import ModelSpec, Recipe
from hypersd_app.catalog.validation import one_of
from hypersd_app.errors import InvalidRequest
from hypersd_app.requests import style_weights, whole, words
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
        "styles": [style for style in values.get("styles") or () if style["name"] in known],
    }


def with_known_names(engine: ImageEngine, default_model: str, head: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """`head` with the default model and a recipe that allows its steps where its own are unknown, and the styles there are.

    Also returns what was asked for and is not here, in the page's words. Raises InvalidRequest for wrong types.
    """
    models = {row.name: row for row in engine.models()}
    model, recipe, decoder = (words(head, name) for name in ("model", "recipe", "decoder"))
    found = model if model in models else default_model
    steps = whole("num_inference_steps", head.get("num_inference_steps", 1))
    recipes = {row.name: row for row in engine.recipes(found)}
    fitting = [name for name, row in recipes.items() if steps in row.steps] or list(recipes)
    wanted = style_weights(head.get("styles") or ())
    here = engine.styles(found)
    known = {style.name for style in here}
    # Other programs name a style by its file or by what its training called it, in any case.
    others = {key.casefold(): style.name for style in reversed(here) for key in (style.title, style.name)}
    styles = [
        style if style.name in known else replace(style, name=others.get(style.name.casefold(), style.name)) for style in wanted
    ]
    missing = [f"{text('text.model')} {model}"] if model and model != found else []
    missing += [f"{text('text.recipe')} {recipe}"] if recipe and recipe not in recipes else []
    missing += [f"{text('text.style')} {style.name}" for style in styles if style.name not in known]
    values = {
        **head,
        "model": found,
        "recipe": recipe if recipe in recipes else fitting[0],
        "num_inference_steps": steps,
        "styles": [{"name": style.name, "weight": style.weight} for style in styles if style.name in known],
        "decoder": decoder if decoder in [row.name for row in models[found].decoders] else "",
    }
    return values, missing


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
