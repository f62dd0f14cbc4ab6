"""Configuration of the page's scripts: the catalogue with names, titles and the ranges of every recipe."""

from __future__ import annotations

from typing import Any

from hypersd_app.catalog.specs import ModelSpec, Recipe, StyleSpec
from hypersd_app.prompts.wording import GRAMMARS, USUAL
from hypersd_app.requests import MAX_CLIP_SKIP, MAX_STYLES
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.ui.compare.grid import usual_axes
from hypersd_app.ui.i18n.texts import language, table, text
from hypersd_app.ui.shell.scripts import markup

FEW_STYLES = 60  # whose pictures come with the page
USUAL_SIDES = (256, 384, 512, 768, 1024)


def page_config(engine: ImageEngine, default_model: str, transport: str) -> dict[str, Any]:
    """Everything the page's scripts know about the server, ready for JSON."""
    return {
        "texts": table(),
        "language": language(),
        "markup": markup("board.html"),
        **catalogue(engine),
        "model": default_model,
        "transport": transport,
        "prompt": text("text.first_prompt"),
        "ideas": text("text.ideas").split("|"),
        "maxStyles": MAX_STYLES,
    }


def catalogue(engine: ImageEngine) -> dict[str, Any]:
    """The part of the configuration that a rescan renews."""
    return {"models": [_model(engine, row) for row in engine.models()]}


def scan_progress(engine: ImageEngine) -> list[int]:
    """[style files read, style files there are]; equal when none is left to be read."""
    done, total = engine.status().get("scan", (0, 0))
    return [int(done), int(total)]


def model_choices(engine: ImageEngine) -> list[tuple[str, str]]:
    """(title, name) of every model, for a dropdown."""
    return [(row.title, row.name) for row in engine.models()]


def recipe_choices(engine: ImageEngine, model: str) -> list[tuple[str, str]]:
    """(title, name) of the recipes of a model, its own choice first."""
    return [(row.title, row.name) for row in engine.recipes(model)]


def recipe_row(engine: ImageEngine, model: str, name: str) -> Recipe:
    """The named recipe of a model, or its first."""
    rows: list[Recipe] = list(engine.recipes(model))
    return next((row for row in rows if row.name == name), rows[0])


def _model(engine: ImageEngine, row: ModelSpec) -> dict[str, Any]:
    decoders = [decoder.name for decoder in row.decoders]
    styles = list(engine.styles(row.name))
    return {
        "name": row.name,
        "title": row.title,
        "note": row.note,
        "grammars": list(GRAMMARS) if row.family in USUAL else [],  # that its prompts may be written in
        "clipSkips": MAX_CLIP_SKIP if row.family in USUAL else 0,
        "width": row.width,
        "height": row.height,
        "recipes": [_recipe(recipe) for recipe in engine.recipes(row.name)],
        "styles": [style_config(style, len(styles) <= FEW_STYLES) for style in styles],
        "decoders": [{"name": decoder.name, "title": decoder.title} for decoder in row.decoders],
        # The fastest decoder while the pen moves; the full one, which is the default, when it rests.
        "liveDecoder": "tiny" if "tiny" in decoders else "",
        "restDecoder": "",
        "sketch": bool(row.controls),
        "controls": [{"name": control.kind, "title": control.title} for control in row.controls],
        "sizes": square_sizes(row),
        "axes": usual_axes(engine, row),
    }


def square_sizes(row: ModelSpec) -> list[int]:
    """Sides in pixels that the drawing board offers: the usual ones this model can draw, and its own."""
    fits = (side for side in USUAL_SIDES if row.smallest <= side <= row.largest and side % row.size_multiple == 0)
    return sorted({row.width, *fits})


def _recipe(row: Recipe) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "steps": list(row.steps),
        "guidance": row.guidance,
        "eta": row.eta,
        "strengths": row.strengths,  # with an init image: None is any from 0 to 1
        "restSteps": (row.steps[0], min(max(row.rest_steps, row.steps[0]), row.steps[-1]), row.steps[-1]),
        "negative": row.negative_prompt,
    }


def style_config(row: StyleSpec, whole: bool = True) -> dict[str, Any]:
    """What the page knows of a style: of few all that a card shows, of many what finds them, the rest by `style_details`."""
    more = {"preview": row.preview, "tags": list(row.tags)} if whole else {}
    return {"name": row.name, "title": row.title, "trigger": row.trigger, **more}
