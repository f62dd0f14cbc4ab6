"""What another program's recipe says, before it is fitted to what a request allows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hypersd_app.prompts.tags import take_tags
from hypersd_app.prompts.wording import A1111, COMFYUI, PLAIN
from hypersd_app.requests import MAX_CLIP_SKIP, MAX_PROMPT_LENGTH, MAX_SEED, MAX_STEPS, MAX_STYLE_WEIGHT, MAX_STYLES

LONGEST_NAME = 200  # characters of a model's or style's name
LONGEST_NUMBER = 24  # digits that anybody writes
LONGEST_VALUE = 30  # characters of a setting that is told
MOST_TOLD = 8  # settings that are told by name
MOST_HASHES = 32
MOST_SIDE = 16384  # pixels
GRAMMARS = {"A1111": A1111, "ComfyUI": COMFYUI, "Fooocus": COMFYUI, "SwarmUI": COMFYUI}  # how a program reads its prompts
OWN_WEIGHTS = {"InvokeAI": ("++", "--", ")+", ")-"), "NovelAI": ("{", "::")}


@dataclass(frozen=True, kw_only=True)
class ForeignRecipe:
    """Values as they were written: `seed` of any size, weights of any strength. None where nothing is said.

    `notes` are sentences on what could not be kept.
    """

    program: str
    prompt: str
    negative_prompt: str = ""
    steps: int | None = None
    seed: int | None = None
    guidance_scale: float | None = None
    size: tuple[int, int] | None = None
    model: str = ""
    recipe: str = ""
    styles: tuple[tuple[str, float], ...] = ()
    clip_skip: int | None = None
    sampler: str = ""
    model_hash: str = ""
    style_hashes: tuple[tuple[str, str], ...] = ()
    unkept: tuple[tuple[str, str], ...] = ()  # settings that change the image there and mean nothing here
    notes: tuple[str, ...] = field(default=())


def fitted(found: ForeignRecipe) -> tuple[dict[str, Any], list[str]]:
    """Request values as this studio allows them, and a sentence on each that had to be changed."""
    found = without_tags(found)
    notes = list(found.notes)
    values: dict[str, Any] = {
        "prompt": _cut("prompt", found.prompt, notes),
        "negative_prompt": _cut("negative prompt", found.negative_prompt, notes),
        "styles": _styles(found.styles, notes),
        "num_inference_steps": _steps(found.steps, notes),
        "seed": _seed(found.seed, notes),
    }
    values["prompt_grammar"] = GRAMMARS.get(found.program, PLAIN)
    if any(sign in found.prompt for sign in OWN_WEIGHTS.get(found.program, ())):
        notes.append(f"{found.program}'s own signs for weights are read as words")
    if found.clip_skip is not None and 1 <= found.clip_skip <= MAX_CLIP_SKIP:
        values["clip_skip"] = found.clip_skip
    if found.guidance_scale is not None:
        values["guidance_scale"] = found.guidance_scale
    if found.size is not None and all(1 <= side <= MOST_SIDE for side in found.size):
        values["width"], values["height"] = found.size
    if lost := told_settings(found):
        notes.append(lost)
    if hashes := _hashes(found):
        values["hashes"] = hashes
    named = {name: getattr(found, name)[:LONGEST_NAME] for name in ("model", "recipe") if getattr(found, name)}
    return {**values, **named}, notes


def told_settings(found: ForeignRecipe) -> str:
    """A sentence on the settings that are not kept, by their names; "" if there are none."""
    rows = [("sampler", found.sampler)] if found.sampler and not found.recipe else []
    rows += found.unkept
    named = [f"{name} {value[:LONGEST_VALUE]}".strip() for name, value in rows[:MOST_TOLD]]
    if len(rows) > MOST_TOLD:
        named.append(f"{len(rows) - MOST_TOLD} more")
    return f"settings of {found.program} that are not kept: {', '.join(named)}" if named else ""


def unused(settings: Mapping[str, Any], understood: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Those of a program's settings that say something and are not among the `understood`, with what they say."""
    known = {name.casefold() for name in understood}
    rows = ((name, plain(value)) for name, value in settings.items() if name.casefold() not in known)
    return tuple((words(name)[:LONGEST_VALUE], value) for name, value in rows if value)


def plain(value: object) -> str:
    """A setting as people read it; "" for what is switched off, empty, or no plain value."""
    if value is True:
        return "on"
    if isinstance(value, str):
        return (
            ""
            if value.strip().casefold() in ("", "none", "false", "disabled", "automatic", "default", "[]")
            else words(value).strip()
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value and (number(value) is not None):
        return f"{value:g}" if isinstance(value, float) else str(value)[:LONGEST_VALUE]
    return ""


def _hashes(found: ForeignRecipe) -> dict[str, Any]:
    """Hashes by which files that are called otherwise here can be found, those that are some alone."""
    styles = {name[:LONGEST_NAME]: code for name, code in found.style_hashes[:MOST_HASHES] if is_hash(code)}
    model = {"model": found.model_hash.lower()} if is_hash(found.model_hash) else {}
    return {**model, **({"styles": {name: code.lower() for name, code in styles.items()}} if styles else {})}


def is_hash(code: str) -> bool:
    """Whether this is as much of a SHA-256 as programs write."""
    return 8 <= len(code) <= 64 and all(letter in "0123456789abcdefABCDEF" for letter in code)


def without_tags(found: ForeignRecipe) -> ForeignRecipe:
    """The recipe with the tags in its prompts, `<lora:name:weight>`, taken out and listed among the styles."""
    positive, negative = take_tags(found.prompt), take_tags(found.negative_prompt)
    return replace(
        found,
        prompt=positive.text,
        negative_prompt=negative.text,
        styles=found.styles + positive.styles,
        notes=(*found.notes, *positive.notes, *negative.notes),
    )


def whole(text: object) -> int | None:
    """A whole number that somebody may have meant, None for anything else: text of thousands of digits, 4.5, True."""
    if isinstance(text, bool):
        return None
    if isinstance(text, int):
        return text
    if isinstance(text, float):
        return int(text) if math.isfinite(text) and text.is_integer() else None
    if not isinstance(text, str):
        return None
    digits = text.strip().removesuffix(".0").removeprefix("-")
    return int(text.strip().removesuffix(".0")) if digits.isascii() and digits.isdigit() and len(digits) <= LONGEST_NUMBER else None


def number(text: object) -> float | None:
    """A number that is neither NaN nor infinite, None for anything else."""
    if isinstance(text, bool) or not isinstance(text, (int, float, str)) or len(str(text)[: LONGEST_NUMBER + 1]) > LONGEST_NUMBER:
        return None
    try:
        found = float(text)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def words(value: object) -> str:
    """A text, "" for anything else; without halves of surrogate pairs, which no file can hold."""
    return value.encode("utf-8", "ignore").decode() if isinstance(value, str) else ""


def file_stem(name: str) -> str:
    """`ink` of `styles/ink.safetensors`, with slashes of either kind."""
    return name.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".safetensors").removesuffix(".ckpt")


def _styles(styles: tuple[tuple[str, float], ...], notes: list[str]) -> list[dict[str, Any]]:
    rows: dict[str, float] = {}
    for name, weight in styles:
        if name and weight:
            rows.setdefault(name[:LONGEST_NAME], weight)
    if len(rows) > MAX_STYLES:
        notes.append(f"only the first {MAX_STYLES} of {len(rows)} styles are kept")
    chosen = []
    for name, weight in list(rows.items())[:MAX_STYLES]:
        allowed = min(max(weight, -MAX_STYLE_WEIGHT), MAX_STYLE_WEIGHT)
        if allowed != weight:
            notes.append(f"the style {name} is at {allowed:g} instead of {weight:g}, the most that is allowed")
        chosen.append({"name": name, "weight": allowed})
    return chosen


def _steps(steps: int | None, notes: list[str]) -> int:
    allowed = min(max(steps if steps is not None else 1, 1), MAX_STEPS)
    if steps is not None and steps != allowed:
        notes.append(f"{allowed} steps instead of {_shown(steps)}")
    return allowed


def _seed(seed: int | None, notes: list[str]) -> int:
    if seed is None or 0 <= seed <= MAX_SEED:
        return seed or 0
    allowed = seed % (MAX_SEED + 1)
    notes.append(f"the seed {_shown(seed)} is too large here; {allowed} is used, which gives another image")
    return allowed


def _shown(value: int) -> str:
    """A whole number as people read it: of giant ones only the size."""
    return str(value) if abs(value) < 10**LONGEST_NUMBER else "of giant size"


def _cut(name: str, text: str, notes: list[str]) -> str:
    if len(text) <= MAX_PROMPT_LENGTH:
        return text
    notes.append(f"the {name} is cut to {MAX_PROMPT_LENGTH} of {len(text)} characters")
    return text[:MAX_PROMPT_LENGTH].rsplit(" ", 1)[0].rstrip(" ,")


def from_mapping(values: Mapping[str, Any], *keys: str) -> Any:
    """The first of some keys that has a value, None if none has."""
    return next((values[key] for key in keys if values.get(key) not in (None, "")), None)
