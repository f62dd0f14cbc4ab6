"""The words Pocket knows, for suggestions while one types: pure look-ups in a table that ships with the weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path

from hypersd_app.catalog.everyday_words import everyday_words
from hypersd_app.errors import ModelUnavailable

FILE_NAME = "vocabulary.json"
_ALIKE = 0.72  # similarity of spelling from which a word may be meant for another
_LONGEST = 64  # letters of a query that are read
_USUAL_WORD, _OTHER_NAME, _LATER_WORD = range(3)  # what begins as typed
_ARTICLES = ("a ", "an ", "the ", "one ", "some ")
_IRREGULAR = {"mice": "mouse", "geese": "goose", "feet": "foot", "teeth": "tooth", "people": "person", "men": "man",
              "women": "woman", "children": "child", "oxen": "ox", "knives": "knife", "leaves": "leaf", "wolves": "wolf",
              "shelves": "shelf", "scarves": "scarf", "loaves": "loaf", "potatoes": "potato", "tomatoes": "tomato"}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One thing Pocket can draw: its usual word, what else it is called, its emoji (may be "") and a prompt for it."""

    word: str
    synonyms: tuple[str, ...]
    emoji: str
    example: str

    @property
    def names(self) -> tuple[str, ...]:
        """The usual word and the others."""
        return (self.word, *self.synonyms)


def plain(text: str) -> str:
    """Lower case, single spaces, without an article."""
    words = " ".join(text[:_LONGEST].casefold().split())
    for article in _ARTICLES:
        words = words.removeprefix(article)
    return words


def singulars(words: str) -> Iterator[str]:
    """The words as they are, then what they may be the plural of."""
    yield words
    head, _, last = words.rpartition(" ")
    prefix = f"{head} " if head else ""
    if last in _IRREGULAR:
        yield prefix + _IRREGULAR[last]
    if last.endswith("ies"):
        yield f"{prefix}{last[:-3]}y"
    if last.endswith("es"):
        yield f"{prefix}{last[:-2]}"
    if last.endswith("s") and not last.endswith("ss"):
        yield f"{prefix}{last[:-1]}"


class Vocabulary:
    """Looks words up among entries, whose order is their rank."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)

    @staticmethod
    def load(folder: Path) -> Vocabulary:
        """From the folder of Pocket's weights. Raises ModelUnavailable when the table is not there."""
        path = folder / FILE_NAME
        if not path.is_file():
            raise ModelUnavailable(f"No words in {path}: run `train vocabulary` first.")
        rows = json.loads(path.read_text(encoding="utf-8"))
        return Vocabulary(Entry(row["word"], tuple(row["synonyms"]), row["emoji"], row["example"]) for row in rows)

    @cached_property
    def _by_name(self) -> dict[str, Entry]:
        """Entries by every name; a usual word goes before another's synonym."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            found.setdefault(plain(entry.word), entry)
        for entry in self.entries:
            for name in entry.synonyms:
                found.setdefault(plain(name), entry)
        return found

    @cached_property
    def _by_emoji(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.emoji:
                found.setdefault(_bare(entry.emoji), entry)
        return found

    def find(self, text: str) -> Entry | None:
        """The entry of a word, a synonym, a plural of either, or an emoji; None when there is none."""
        emoji = self._by_emoji.get(_bare(text.strip()))
        if emoji is not None:
            return emoji
        return next((self._by_name[name] for name in singulars(plain(text)) if name in self._by_name), None)

    def knows(self, text: str) -> bool:
        """Whether Pocket has seen a thing of that name."""
        return self.find(text) is not None

    @cached_property
    def _everyday(self) -> dict[str, Entry]:
        """Entries by what people call them, where that is no name here ("kitten")."""
        found = {name: self.find(word) for name, word in everyday_words().items() if not self.knows(name)}
        return {name: entry for name, entry in found.items() if entry is not None}

    def suggest(self, text: str, limit: int = 8) -> list[Entry]:
        """Entries for what was typed so far: what it names, then words that begin so, other names, later words of a name."""
        return [entry for entry, _ in self.matches(text, limit)]

    def matches(self, text: str, limit: int = 8) -> list[tuple[Entry, str]]:
        """As `suggest`, each with the name that it was found by where that is not its usual word, else "".

        Of those that were found in the same way the one that is sooner typed to its end stands first.
        """
        typed = plain(text)
        if not typed:
            return []
        exact = self.find(text)
        own = [(entry, name, _rank(entry, name, typed)) for entry in self.entries for name in entry.names]
        called = [(entry, name, _OTHER_NAME if name.startswith(typed) else None) for name, entry in self._everyday.items()]
        found = sorted((row for row in (*own, *called) if row[2] is not None), key=lambda row: (row[2], len(row[1])))
        rows: dict[Entry, str] = {} if exact is None else {exact: ""}
        for entry, name, _ in found:
            rows.setdefault(entry, "" if name == entry.word else name)
        return list(rows.items())[:limit]

    def nearest(self, text: str) -> Entry | None:
        """What an unknown word may be meant for: a known word inside it ("wolf pup") or what people call so, else one spelt so."""
        known = self.find(text)
        words = plain(text)
        if known is not None or not words:
            return known
        for word in reversed(words.split()):
            found = self.find(word) or next((self._everyday[name] for name in singulars(word) if name in self._everyday), None)
            if found is not None:
                return found
        return self._most_alike(words)

    def _most_alike(self, words: str) -> Entry | None:
        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2(words)
        best, chosen = _ALIKE, None
        for name, entry in self._by_name.items():
            matcher.set_seq1(name)
            if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and (ratio := matcher.ratio()) > best:
                best, chosen = ratio, entry
        return chosen


def _bare(emoji: str) -> str:
    """An emoji without the sign that asks for its coloured form."""
    return emoji.replace("\ufe0f", "")


def _rank(entry: Entry, name: str, typed: str) -> int | None:
    """How well one of an entry's names fits what was typed: the lower the better, None for not at all."""
    if plain(name).startswith(typed):
        return _USUAL_WORD if name == entry.word else _OTHER_NAME
    return _LATER_WORD if any(word.startswith(typed) for word in name.casefold().split()[1:]) else None
