"""Tags in prompts that name styles, `<lora:ink:0.8>` and `<lyco:ink:0.8>`: taken out of the words and read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from hypersd_app.prompts.weights import finite_number

LONGEST_TAG = 200  # characters
START, END = "<", ">"
STYLES = ("lora", "lyco")  # what A1111 calls files of this kind in a prompt
OTHERS = ("hypernet",)
KEPT = 512


@dataclass(frozen=True)
class Tagged:
    """A prompt's words without its tags, (name, weight) of the styles they name, and a sentence on each thing that is left out."""

    text: str
    styles: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()


def take_tags(text: str) -> Tagged:
    """Words and tags of a prompt."""
    return _taken(text) if START in text else Tagged(text)


@lru_cache(KEPT)  # a drawing asks the same at every stroke
def _taken(text: str) -> Tagged:
    kept, styles, notes = [], [], []
    at = 0
    while (start := text.find(START, at)) >= 0:
        end = text.find(END, start, start + LONGEST_TAG)
        parts = text[start + 1 : end].split(":") if end > 0 else []
        kind = parts[0].strip().lower() if parts else ""
        if len(parts) < 2 or kind not in (*STYLES, *OTHERS):
            kept.append(text[at : start + 1])
            at = start + 1
            continue
        kept.append(text[at:start].rstrip(" "))
        at = end + 1
        if kind in OTHERS:
            notes.append(f"the {kind} {parts[1].strip()} is not applied")
            continue
        name, *rest = (part.strip() for part in parts[1:])
        styles.append((name, _weight(name, rest, notes)))
    return Tagged(("".join(kept) + text[at:]).strip(), tuple(styles), tuple(notes))


def _weight(name: str, rest: list[str], notes: list[str]) -> float:
    """The weight in a tag: its first number, or what it says of the UNet; other arguments are told as left out."""
    plain = [found for part in rest if (found := finite_number(part)) is not None]
    named = dict(part.split("=", 1) for part in rest if "=" in part)
    unet = finite_number(named.get("unet", ""))
    weight = unet if unet is not None else plain[1] if len(plain) > 1 else plain[0] if plain else 1.0
    if len(plain) > 1 and plain[0] != plain[1]:
        notes.append(f"the style {name} has one weight for words and image, {weight:g}")
    if others := [key for key in named if key not in ("unet", "te")]:
        notes.append(f"the block weights of the style {name} ({', '.join(others)}) are not applied")
    return weight
