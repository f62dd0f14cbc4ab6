"""A1111's `parameters` text, which Forge, SD.Next, Fooocus and our own files share: prompt, negative prompt, settings.

Read by scanning: one pass, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from hypersd_app.images.recipes.foreign import ForeignRecipe, number, whole

LONGEST_TEXT = 64 * 1024  # characters that are read; prompts and settings of whole grids are shorter
MOST_LINES = 400  # from the end, among which the settings are looked for
MOST_SETTINGS = 512  # and gaps between them
LONGEST_KEY = 60  # characters
NEGATIVE = "Negative prompt:"
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
    return ForeignRecipe(
        program="A1111",
        prompt=positive,
        negative_prompt=negative,
        steps=whole(settings.get("Steps")),
        seed=whole(settings.get("Seed")),
        guidance_scale=number(settings.get("CFG scale") or settings.get("Distilled CFG Scale")),
        size=_size(settings.get("Size", "")),
        model=settings.get("Model", ""),
        recipe=settings.get("Recipe", ""),
        clip_skip=whole(settings.get("Clip skip")),
        notes=tuple(_unread(settings)),
    )


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
    at, quotes_close = 0, True
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
        yield name, text[begin:end].strip() if begin < end else ""
        at = max(end, begin) + 1
        if at > len(text):
            return


def _end(text: str, at: int) -> int:
    """Where the setting at `at` ends if it is not quoted: the next comma or line break."""
    ends = [found for found in (text.find(",", at), text.find("\n", at)) if found >= 0]
    return min(ends, default=len(text))


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
