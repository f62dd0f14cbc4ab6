"""Reads the tables of words beside this file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
EMOJI = "u"  # the package name of drawings that are found by their code point


@dataclass(frozen=True)
class Words:
    """What people call one thing: `names`, and the `kinds` it is one of ("flower" for a rose)."""

    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Thing:
    """A thing without an emoji. `drawings` are (package key, icon); of the key `EMOJI` the icon is a code point."""

    label: str
    words: Words
    group: str  # one letter, see things.txt
    colour: str  # "#rrggbb", for drawings that have none of their own
    drawings: tuple[tuple[str, str], ...]

    @property
    def hexcodes(self) -> tuple[str, ...]:
        """Code points of the emoji that show it."""
        return tuple(icon for package, icon in self.drawings if package == EMOJI)


def _rows(name: str) -> Iterator[list[str]]:
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield [cell.strip() for cell in line.split("|")]


def _list(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in cell.split(",") if word.strip()))


@cache
def names() -> dict[str, Words]:
    """More names and kinds by emoji label: what was written by hand, then the kinds WordNet knows."""
    found = {label: Words(_list(more), _list(kinds)) for label, more, kinds in _rows("names.txt")}
    for label, kinds in _rows("kinds.txt"):
        words = found.get(label, Words())
        found[label] = Words(words.names, tuple(dict.fromkeys((*words.kinds, *_list(kinds)))))
    return found


@cache
def things() -> tuple[Thing, ...]:
    """All things without an emoji of their own; labels are unique."""
    found: dict[str, Thing] = {}
    for words, kinds, group, colour, drawings in _rows("things.txt"):
        called = _list(words)
        label = called[0] if called[0] not in found else ", ".join(called[:2])
        assert label not in found, label
        icons = tuple((package, icon) for package, _, icon in (item.partition(":") for item in drawings.split()))
        found[label] = Thing(label, Words(called, _list(kinds)), group, colour, icons)
    return tuple(found.values())
