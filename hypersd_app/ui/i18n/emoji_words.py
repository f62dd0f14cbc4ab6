"""Words of eighteen languages and the pictograms that they name: how things are found that are not typed in English."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

TABLE = Path(__file__).with_name("emoji_words.txt")


@functools.cache
def emoji_words() -> Mapping[str, str]:
    """Pictograms by words in lower case; of two with one name the first of the table."""
    found: dict[str, str] = {}
    rows = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    names = [(emoji, words.split("|")) for emoji, words in rows]
    for emoji, words in names:  # what a pictogram is called first, what a part of that is called after all of those
        found.setdefault(words[0], emoji)
    for emoji, words in names:
        for word in words:
            found.setdefault(word, emoji)
    return found


def emoji_of(word: str) -> str:
    """The pictogram of a word in another language, "" for none."""
    return emoji_words().get(word.strip().casefold(), "")


def beginning_with(typed: str, limit: int) -> list[tuple[str, str]]:
    """At most `limit` words that begin so, the shortest first, with their pictograms."""
    start = typed.strip().casefold()
    found = [(word, emoji) for word, emoji in emoji_words().items() if start and word.startswith(start)]
    return sorted(found, key=lambda row: (len(row[0]), row[0]))[:limit]
