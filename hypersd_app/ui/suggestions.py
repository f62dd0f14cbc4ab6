"""What a model knows of what is being typed: things to go on with, by name, synonym, plural, pictogram and other languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hypersd_app.catalog.vocabulary import Entry, Vocabulary
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.ui.i18n.emoji_words import beginning_with
from hypersd_app.ui.prompt_reading import BETWEEN, LONGEST, SAYS_NOTHING, is_known, nearest_thing, vocabulary_of

MOST = 6
LEAST_LETTERS = 2  # of what is looked up in Latin letters: one says nothing yet
_UNKNOWN = 4  # letters from which a word that nothing begins with is told of
_FOREIGN = 3  # letters of a word of another language


@dataclass(frozen=True)
class Suggestion:
    """A thing to put in place of the prompt's characters from `start` on; `said` is what it is called where it was typed, or ""."""

    word: str
    emoji: str
    example: str
    said: str


@dataclass(frozen=True)
class Suggestions:
    """`start` is where in the prompt the thing begins that is being typed."""

    start: int
    things: tuple[Suggestion, ...]
    unknown: str = ""  # words that no known thing is called nor begins with; `things` are what they may be meant for


NOTHING = Suggestions(0, ())


def suggestions(engine: ImageEngine, model: str, prompt: str) -> Suggestions:
    """Things that `model` knows and that the end of `prompt` may be the beginning of."""
    vocabulary = vocabulary_of(engine, model)
    if vocabulary is None or len(prompt) > LONGEST:
        return NOTHING
    for start in _starts(prompt):
        typed = prompt[start:]
        found = _named(vocabulary, typed)
        # Who has typed the word needs no help with it.
        if found and [entry.word.casefold() for entry, _ in found] != [typed.strip().casefold()]:
            return Suggestions(start, tuple(_offered(entry, said) for entry, said in found))
    return _instead(vocabulary, prompt)


def _offered(entry: Entry, said: str) -> Suggestion:
    return Suggestion(entry.word, entry.emoji, entry.example, said)


def _instead(vocabulary: Vocabulary, prompt: str) -> Suggestions:
    """For a word that nothing begins with: that it is not known, and the nearest that is."""
    start = next(_starts(prompt), len(prompt))
    typed = prompt[start:].rstrip()
    last = typed.split()[-1] if typed else ""
    if len(last) < _UNKNOWN or is_known(vocabulary, typed) or SAYS_NOTHING.fullmatch(last):
        return NOTHING
    entry = nearest_thing(vocabulary, typed)
    return Suggestions(start, () if entry is None else (_offered(entry, ""),), typed)


def _starts(prompt: str) -> Iterator[int]:
    """Where what is being typed may begin: after what separates things and what is said of them, then at each later word."""
    marks = [*BETWEEN.finditer(prompt), *re.finditer(rf"{SAYS_NOTHING.pattern}(?=\s)", prompt, re.IGNORECASE)]
    start = max((mark.end() for mark in marks), default=0)
    for word in re.finditer(r"\S+", prompt[start:]):
        yield start + word.start()


def _named(vocabulary: Vocabulary, typed: str) -> list[tuple[Entry, str]]:
    """Entries, and the word of another language that each was found by, "" for none."""
    if typed.isascii() and len(typed.strip()) < LEAST_LETTERS:
        return []
    found = dict(vocabulary.matches(typed, MOST))
    if len(found) < MOST and (len(typed.strip()) >= _FOREIGN or not typed.isascii()):
        for word, emoji in beginning_with(typed, MOST):
            entry = vocabulary.find(emoji)
            if entry is not None:
                found.setdefault(entry, word)
    return list(found.items())[:MOST]
