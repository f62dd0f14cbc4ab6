"""A recipe from elsewhere, fitted to what this server has: other programs and other machines name other models and styles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.http.board_requests import style_weights, whole, words
from hypersd_app.ui.i18n.texts import text


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
