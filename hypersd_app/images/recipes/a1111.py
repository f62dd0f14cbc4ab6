"""A1111's `parameters` text, which Forge, SD.Next, Fooocus and our own files share: prompt, negative prompt, settings.

Read by scanning: one pass, whatever is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from hypersd_app.images.recipes.foreign import ForeignRecipe, number, plain, unused, whole, words

LONGEST_TEXT = 64 * 1024  # characters that are read; prompts and settings of whole grids are shorter
MOST_LINES = 400  # from the end, among which the settings are looked for
MOST_SETTINGS = 512  # and gaps between them
LONGEST_KEY = 60  # characters
NEGATIVE = "Negative prompt:"
JSON = json.JSONDecoder(parse_int=whole)  # numbers of thousands of digits say nothing
UNDERSTOOD = (
    "Steps", "Sampler", "Schedule type", "CFG scale", "Distilled CFG Scale", "Seed", "Size", "Model", "Recipe", "Clip skip",
    "Eta", "Model hash", "Lora hashes", "TI hashes", "TI", "Hashes", "Version", "VAE hash", "Template", "Negative Template",
    "Created Date", "Wildcard prompt", "Wildcard negative prompt", "Civitai resources", "Civitai metadata", "Hires upscale",
    "Hires upscaler", "Parser", "Hires steps", "Hires resize", "Hires Module 1", "Hires CFG Scale", "Hires schedule type",
    "Hires sampler", "Add Detail Details", "User", "Backend", "App", "Time", "Operations", "Pipeline", "Lora names",
)  # fmt: skip
KNOWN = ("Steps", "Sampler", "CFG scale", "Seed", "Size", "Model", "Model hash", "Schedule type", "Version", "Recipe")
ENOUGH = 3  # settings that are known make a line one of settings, whichever comes first
LONGEST_LINE = 20_000  # characters of a line that is looked at for settings


def parse_a1111(text: str) -> ForeignRecipe:
    """The recipe in A1111's text; what it does not say is left out."""
    lines = text[:LONGEST_TEXT].strip().splitlines()
    start = _settings_start(lines)
    settings: dict[str, str] = {}
    for name, value in _settings("\n".join(lines[start:])):
        settings.setdefault(name, value)
    positive, negative = _prompts(lines[:start])
    hashes = _hashes_of(settings.get("Hashes", ""))
    model, styles = _resources(settings.get("Civitai resources", ""))
    return ForeignRecipe(
        program="A1111",
        prompt=positive,
        negative_prompt=negative,
        steps=whole(settings.get("Steps")),
        seed=whole(settings.get("Seed")),
        guidance_scale=number(settings.get("CFG scale") or settings.get("Distilled CFG Scale")),
        size=_size(settings.get("Size", "")),
        model=settings.get("Model", "") or model,
        styles=styles,
        recipe=settings.get("Recipe", ""),
        clip_skip=whole(settings.get("Clip skip")),
        sampler=" ".join(part for part in (settings.get("Sampler", ""), settings.get("Schedule type", "")) if plain(part)),
        model_hash=settings.get("Model hash", "") or hashes.get("model", ""),
        style_hashes=tuple(style_hashes(settings.get("Lora hashes", ""), hashes)),
        unkept=unused(settings, UNDERSTOOD),
        notes=tuple(_unread(settings)),
    )


def style_hashes(listed: str, hashes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names and hashes of `ink: 0123abcd, clay: …`, and of Civitai's list of all files used."""
    for part in listed.split(","):
        name, _, code = part.rpartition(":")
        if name.strip():
            yield name.strip(), code.strip()
    for name, code in hashes.items():
        kind, _, rest = name.partition(":")
        if kind.lower() in ("lora", "lyco") and rest:
            yield rest, code


def _hashes_of(text: str) -> dict[str, str]:
    """Civitai's list of the files used, {"model": hash, "lora:ink": hash}; {} for anything else."""
    found = _json(text)
    return {name: code for name, code in found.items() if isinstance(code, str)} if isinstance(found, dict) else {}


def _resources(text: str) -> tuple[str, tuple[tuple[str, float], ...]]:
    """Model and styles of Civitai's own generator, which names them beside the prompt."""
    found = _json(text)
    model, styles = "", []
    for row in found if isinstance(found, list) else ():
        name, kind = (words(row.get(key)) for key in ("modelName", "type")) if isinstance(row, dict) else ("", "")
        weight = number(row.get("weight")) if name else None
        if kind == "checkpoint":
            model = model or name
        elif kind in ("lora", "lycoris", "locon", "dora") and name:
            styles.append((name, 1.0 if weight is None else weight))
    return model, tuple(styles)


def _json(text: str) -> object:
    try:
        return JSON.decode(text) if text.startswith(("{", "[")) else None
    except (ValueError, RecursionError):
        return None


def _unread(settings: dict[str, str]) -> Iterator[str]:
    for name in ("Steps", "Seed"):
        if name in settings and whole(settings[name]) is None:
            yield f"{name.lower()} “{settings[name][:20]}” could not be read"
    if settings.get("Hires upscale") or settings.get("Hires upscaler"):
        yield "the enlargement (hires fix) is not done here"


def _settings_start(lines: list[str]) -> int:
    """The index of the line where the settings begin, the number of lines if there are none.

    The last line that looks like one, since a prompt may look like one too; what follows it are its quoted values and notes.
    """
    for index in range(len(lines) - 1, max(-1, len(lines) - 1 - MOST_LINES), -1):
        line = lines[index].strip()
        if line.startswith("Steps:"):
            return index
        if len(line) <= LONGEST_LINE and ":" in line and sum(name in KNOWN for name, _ in _settings(line)) >= ENOUGH:
            return index
    return len(lines)


def _prompts(lines: list[str]) -> tuple[str, str]:
    """Prompt and negative prompt; the one that has no line of its own is empty."""
    for index, line in enumerate(lines):
        if line.strip().startswith(NEGATIVE):
            first = line.strip().removeprefix(NEGATIVE)
            return "\n".join(lines[:index]).strip(), "\n".join([first, *lines[index + 1 :]]).strip()
    return "\n".join(lines).strip(), ""


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """Names and values of `name: value, name: "quoted, value"`; what is neither is passed over."""
    at, quotes_close, json_reads = 0, True, True
    for _ in range(MOST_SETTINGS):
        end = _end(text, at)
        colon = text.find(":", at, min(end, at + LONGEST_KEY))
        if colon < 0:
            if end >= len(text):
                return
            at = end + 1
            continue
        name, begin = text[at:colon].strip(), colon + 1
        while begin < len(text) and text[begin] == " ":
            begin += 1
        if quotes_close and text[begin : begin + 1] == '"':
            closing = _closing_quote(text, begin + 1)
            if closing > 0:
                yield name, text[begin + 1 : closing].replace('\\"', '"')
                at = closing + 1
                continue
            quotes_close = False  # nor does any that follows: each is looked for once only
        if json_reads and text[begin : begin + 1] in ("{", "["):
            closing = _json_end(text, begin)
            if closing > 0:
                yield name, text[begin:closing]
                at = closing + 1
                continue
            json_reads = False
        yield name, text[begin:end].strip() if begin < end else ""
        at = max(end, begin) + 1
        if at > len(text):
            return


def _end(text: str, at: int) -> int:
    """Where the setting at `at` ends if it is not quoted: the next comma or line break."""
    ends = [found for found in (text.find(",", at), text.find("\n", at)) if found >= 0]
    return min(ends, default=len(text))


def _json_end(text: str, at: int) -> int:
    """Where the JSON that begins at `at` ends, -1 if it is none: Civitai writes it without quotes around it."""
    try:
        return JSON.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return -1


def _closing_quote(text: str, at: int) -> int:
    """The index of the quote that ends a value, -1 if there is none; a backslash takes the next character along."""
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == '"':
            return at
        at += 1
    return -1


def _size(text: str) -> tuple[int, int] | None:
    width, _, height = text.partition("x")
    sides = whole(width), whole(height)
    return (sides[0], sides[1]) if sides[0] and sides[1] else None
