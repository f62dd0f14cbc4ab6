"""Axes of the compare tab: each parses values from text and sets one in a request; one or two axes make a grid."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypersd_app.catalog.specs import ModelSpec, Recipe
from hypersd_app.catalog.validation import one_of
from hypersd_app.errors import InvalidRequest
from hypersd_app.requests import MAX_PROMPT_LENGTH
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.ui.i18n.texts import text
from hypersd_app.ui.recipe_matching import Values, as_number, fitted, model_of

MAX_VALUES = 12  # per axis
MAX_CELLS = 64
NO_STYLE = "-"
_LISTED = re.compile(r"\s*(?:[,;]|\band\b|\bund\b)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where an axis is used: its choices depend on the model."""

    engine: ImageEngine
    model: ModelSpec


@dataclass(frozen=True)
class Axis:
    """`usual` values as text, `apply` one to a request (raises InvalidRequest), and what to call it."""

    usual: Callable[[Place], Sequence[str]]
    apply: Callable[[Values, str], None]
    label: Callable[[Place, str], str]


@dataclass(frozen=True)
class Cell:
    """One request of a grid and where it stands."""

    row: int
    column: int
    values: Values


@dataclass(frozen=True)
class Grid:
    """Labels of columns and rows (no rows' labels for a grid over one axis), and the cells row by row."""

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: tuple[Cell, ...]


def make_grid(engine: ImageEngine, base: Mapping[str, Any], axes: Mapping[str, Any]) -> Grid:
    """The requests of `axes` = {"x": name, "xs": values, "y": name or "", "ys": values} around `base`. Raises InvalidRequest."""
    place = Place(engine, model_of(engine, base.get("model")))
    x, xs = _axis(place, axes, "x")
    y, ys = _axis(place, axes, "y") if axes.get("y") else ("", [])
    if len(xs) * max(1, len(ys)) > MAX_CELLS:
        raise InvalidRequest("values", len(xs) * len(ys), f"at most {MAX_CELLS} images")
    cells = []
    for row, below in enumerate(ys or [""]):
        for column, across in enumerate(xs):
            cells.append(Cell(row, column, _cell_values(engine, base, [(x, across), (y, below)])))
    columns = tuple(AXES[x].label(place, value) for value in xs)
    rows = tuple(AXES[y].label(place, value) for value in ys) if y else ()
    return Grid(columns, rows, tuple(cells))


def usual_axes(engine: ImageEngine, model: ModelSpec) -> dict[str, list[str]]:
    """Every axis that applies to `model`, with its usual values."""
    place = Place(engine, model)
    found = {name: list(axis.usual(place)) for name, axis in AXES.items()}
    recipes: Sequence[Recipe] = list(engine.recipes(model.name))
    idle = {
        "guidance": not any(recipe.uses_guidance for recipe in recipes),
        "eta": not any(recipe.uses_eta for recipe in recipes),
        "scale": not model.controls,
        "weight": not engine.styles(model.name),
    }
    return {name: values for name, values in found.items() if len(values) > 1 and not idle.get(name)}


def styles_from_text(words: str) -> list[dict[str, Any]]:
    """`ink`, `ink:0.5` or `ink:0.5+clay` as rows of names and weights; "-" and "" are none. Raises InvalidRequest."""
    rows = []
    for part in words.replace(",", "+").split("+"):
        name, _, weight = part.strip().partition(":")
        if name and name != NO_STYLE:
            rows.append({"name": name.strip(), "weight": as_number("style weight", weight) if weight else 1.0})
    return rows


def _axis(place: Place, axes: Mapping[str, Any], side: str) -> tuple[str, list[str]]:
    name = axes.get(side)
    one_of(f"{side} axis", str(name), AXES)
    values = [str(value).strip() for value in axes.get(f"{side}s") or ()]
    values = [spoken(place, str(name), value) for value in values if value]
    if len(values) == 1 and values[0] == str(next(iter(axes[f"{side}s"]))).strip():  # no title, which may have a comma itself
        values = [spoken(place, str(name), value) for value in listed(str(name), values)]
    if not 1 <= len(values) <= MAX_VALUES:
        raise InvalidRequest(f"{side} values", len(values), f"1 to {MAX_VALUES} values")
    return str(name), values


def listed(axis: str, values: Sequence[str]) -> list[str]:
    """Values as people list them: a single text "1, 2 and 4" or "1 2 4" is three. A prompt is never split."""
    if len(values) != 1 or axis == "prompt":
        return list(values)
    words = _LISTED.split(values[0])
    if len(words) == 1 and all(part.replace(".", "", 1).isdigit() for part in values[0].split()):
        words = values[0].split()
    return [word.strip() for word in words if word.strip()]


def spoken(place: Place, axis: str, value: str) -> str:
    """A value's name where its title was typed, "Base model" for "teacher", in any case; "none" is no style."""
    known = {"recipe": place.engine.recipes, "style": place.engine.styles}.get(axis)
    rows = place.engine.models() if axis == "model" else known(place.model.name) if known else ()
    if axis == "style" and value.casefold() in {"none", "no style", text("compare.nostyle").casefold()}:
        return NO_STYLE
    head, mark, rest = value.partition("@" if axis == "recipe" else ":")
    names = {each.casefold(): row.name for row in rows for each in (row.title, row.name)}
    name = names.get(head.strip().casefold())
    return f"{name}{mark}{rest}" if name else value


def _cell_values(engine: ImageEngine, base: Mapping[str, Any], chosen: Sequence[tuple[str, str]]) -> Values:
    values: Values = copy.deepcopy(dict(base))
    # The model first, then the recipe: the other axis's value may depend on them.
    for name, value in sorted(chosen, key=lambda pair: {"model": 0, "recipe": 1, "style": 2}.get(pair[0], 3)):
        if name:
            AXES[name].apply(values, value)
    return fitted(engine, values)


def _numbers(field: str, title: str, usual: Sequence[str], integer: bool = False) -> Axis:
    """An axis over one number of a request."""

    def apply(values: Values, value: str) -> None:
        number = as_number(field, value)
        if integer and not number.is_integer():
            raise InvalidRequest(field, value, "a whole number")
        values[field] = int(number) if integer else number

    return Axis(lambda _place: usual, apply, lambda _place, value: f"{text(f'compare.axis.{title}')} {value}")


def _set_prompt(values: Values, value: str) -> None:
    if len(value) > MAX_PROMPT_LENGTH:
        raise InvalidRequest("prompt", f"{len(value)} characters", f"at most {MAX_PROMPT_LENGTH} characters")
    values["prompt"] = value


def _set_recipe(values: Values, value: str) -> None:
    """`teacher` or `teacher@25`: a recipe, with or without its steps."""
    name, _, steps = value.partition("@")
    values["recipe"] = name
    if steps:
        values["num_inference_steps"] = int(as_number("num_inference_steps", steps))


def _set_model(values: Values, value: str) -> None:
    values.update(model=value, recipe="", decoder="", width=None, height=None)


def _set_style(values: Values, value: str) -> None:
    values["styles"] = styles_from_text(value)


def _set_weight(values: Values, value: str) -> None:
    if not values.get("styles"):
        raise InvalidRequest("style weight", value, "it with a style: choose one in the Styles tab, or use the axis Style")
    weight = as_number("style weight", value)
    values["styles"] = [{**style, "weight": weight} for style in values["styles"]]


def _setter(field: str) -> Callable[[Values, str], None]:
    def apply(values: Values, value: str) -> None:
        values[field] = value

    return apply


def _titles(rows: Sequence[Any], name: str) -> str:
    return next((row.title for row in rows if row.name == name), name)


def _recipe_label(place: Place, value: str) -> str:
    name, _, steps = value.partition("@")
    title = _titles(place.engine.recipes(place.model.name), name)
    return f"{title} · {text('compare.axis.steps')} {steps}" if steps else title


def _style_label(place: Place, value: str) -> str:
    rows = styles_from_text(value)
    if not rows:
        return text("compare.nostyle")
    known = place.engine.styles(place.model.name)
    titles = [_titles(known, row["name"]) + ("" if row["weight"] == 1 else f" {row['weight']:g}") for row in rows]
    return " + ".join(titles)


def _control_label(place: Place, value: str) -> str:
    return next((row.title for row in place.model.controls if row.kind == value), value)


AXES: Mapping[str, Axis] = {
    "steps": _numbers("num_inference_steps", "steps", ("1", "2", "4", "8"), integer=True),
    "recipe": Axis(lambda p: [row.name for row in p.engine.recipes(p.model.name)], _set_recipe, _recipe_label),
    "style": Axis(lambda p: [NO_STYLE, *(row.name for row in p.engine.styles(p.model.name))][:8], _set_style, _style_label),
    "weight": Axis(lambda _p: ("0", "0.5", "1", "1.5"), _set_weight, lambda _p, value: f"{text('compare.axis.weight')} {value}"),
    "scale": _numbers("controlnet_conditioning_scale", "scale", ("0.3", "0.6", "1", "1.4")),
    "control": Axis(lambda p: [row.kind for row in p.model.controls], _setter("control"), _control_label),
    "guidance": _numbers("guidance_scale", "guidance", ("1", "3", "5", "7.5")),
    "eta": _numbers("eta", "eta", ("0", "0.3", "0.6", "1")),
    "seed": _numbers("seed", "seed", ("1", "2", "3", "4"), integer=True),
    "prompt": Axis(lambda _p: ("a red apple", "a blue car", "a cat"), _set_prompt, lambda _p, value: value),
    "model": Axis(lambda p: [row.name for row in p.engine.models()], _set_model, lambda p, v: _titles(p.engine.models(), v)),
    "decoder": Axis(
        lambda p: [row.name for row in p.model.decoders], _setter("decoder"), lambda p, v: _titles(p.model.decoders, v)
    ),
}  # fmt: skip
