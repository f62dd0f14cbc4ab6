"""Writes the table of words that ships with the weights: what the page suggests while one types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hypersd_app.catalog.vocabulary import FILE_NAME, Entry
from hypersd_app.training.data.scenes import Drawing
from hypersd_app.training.data.words.concepts import COLOUR_WORDS, Concept
from hypersd_app.training.data.words.grammar import with_article


def vocabulary(concepts: Sequence[Concept], drawings: Sequence[Drawing]) -> list[Entry]:
    """All names of trained concepts, familiar ones first, then broader terms that have no row of their own."""
    colours: dict[int, str] = {}
    for row in drawings:
        colours.setdefault(row.concept, row.colour if row.share >= 0.5 else "")
    known = [index for index in colours if not concepts[index].held_out]
    known.sort(key=lambda index: (not concepts[index].familiar, index))
    found: dict[str, Entry] = {}
    for index in known:
        entry = _entry(concepts[index], colours[index])
        found[entry.word] = _merged(found[entry.word], entry) if entry.word in found else entry
    return [*found.values(), *_kinds(concepts, known, found)]


def _entry(concept: Concept, colour: str) -> Entry:
    word = concept.names[0]
    painted = colour and concept.composable and word.split()[0] not in COLOUR_WORDS and len(word) % 3 == 0
    return Entry(word, concept.names[1:], emoji_of(concept.hexcode), with_article(f"{colour} {word}" if painted else word))


def _merged(first: Entry, second: Entry) -> Entry:
    synonyms = tuple(name for name in dict.fromkeys((*first.synonyms, *second.synonyms)) if name != first.word)
    return Entry(first.word, synonyms, first.emoji or second.emoji, first.example)


def _kinds(concepts: Sequence[Concept], known: Sequence[int], rows: Mapping[str, Entry]) -> Iterator[Entry]:
    named = {name for row in rows.values() for name in row.names}
    seen: set[str] = set()
    for index in known:
        for kind in concepts[index].kinds:
            if kind not in named and kind not in seen:
                seen.add(kind)
                yield Entry(kind, (), emoji_of(concepts[index].hexcode), with_article(kind))


def emoji_of(hexcode: str) -> str:
    """ "1F431" to the character; "" stays."""
    return "".join(chr(int(code, 16)) for code in hexcode.split("-") if code)


def write_vocabulary(concepts: Sequence[Concept], drawings: Sequence[Drawing], folder: Path) -> Path:
    """Write the table into the folder of the weights."""
    rows = [
        {"word": row.word, "synonyms": list(row.synonyms), "emoji": row.emoji, "example": row.example}
        for row in vocabulary(concepts, drawings)
    ]
    path = folder / FILE_NAME
    path.write_text("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n", encoding="utf-8")
    return path
