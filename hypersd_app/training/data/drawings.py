"""Matches concepts to icons of each set, with the main colour of each drawing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hypersd_app.training.data.icons.painted import PaintedLibrary
from hypersd_app.training.data.icons.recolour import MainColour, main_colour, visible
from hypersd_app.training.data.icons.render import nested_svg, render_svg
from hypersd_app.training.data.icons.sources import ICON_SETS, IconLibrary
from hypersd_app.training.data.scenes import Drawing
from hypersd_app.training.data.words.concepts import EVERYDAY_NAMES, FACES, PEOPLE, SYMBOLS, Concept, stable_percent
from hypersd_app.training.data.words.tables import Thing, things

LOOK_PERCENT = 28  # of a set's drawings that a look shows, beside the familiar ones
_MEASURED_SIDE = 64
# Labels by which sign makers mean another thing (a computer's mouse, a roast chicken, a wax seal): everywhere, or in one set.
_MISTAKEN = frozenset(
    [
        "seal",
        "rock",
        "bug",
        "mouse",
        "seat",
        "cricket",
        "fly",
        "mate",
        "station",
        "label",
        "chicken",
        "turkey",
        "mobile phone",
        "pie",
        "file cabinet",
        "ring",
        "ringed planet",
        "bold:anchor",
        "badge:keyboard",
        "cutout:satellite",
        "cutout:elevator",
    ]
)
_UNNAMED = (FACES, PEOPLE, SYMBOLS)  # what sign makers call by other names


def find_drawings(concepts: Sequence[Concept], libraries: Mapping[str, IconLibrary]) -> list[Drawing]:
    """Every concept as every set draws it, with its main colour measured; sets that are painted take it from the others."""
    finder = _Finder(concepts, {thing.label: thing for thing in things()})
    rows: list[Drawing] = []
    for key, library in libraries.items():
        rows.extend(_in_a_look(key, rows, concepts) if ICON_SETS[key].look else finder.of_set(key, library))
    return rows


def _in_a_look(key: str, rows: Sequence[Drawing], concepts: Sequence[Concept]) -> Iterator[Drawing]:
    """Some of another set's drawings; ink has no colour to change."""
    for row in rows:
        label = concepts[row.concept].label
        if row.set_key != ICON_SETS[key].drawn_from:
            continue
        if concepts[row.concept].familiar or stable_percent(f"look:{key}:{label}") < LOOK_PERCENT:
            colour, share = ("white", 0.0) if ICON_SETS[key].look == "ink" else (row.colour, row.share)
            yield Drawing(set_key=key, icon=row.icon, concept=row.concept, colour=colour, hue=row.hue, share=share)


class _Finder:
    def __init__(self, concepts: Sequence[Concept], named: Mapping[str, Thing]) -> None:
        self._concepts, self._things = concepts, named
        self._paints: dict[int, str] = {}  # the colour in which the first set shows a concept

    def of_set(self, key: str, library: IconLibrary) -> Iterator[Drawing]:
        for index, concept in enumerate(self._concepts):
            for icon in dict.fromkeys(self._icons(index, concept, key, library)):
                colour = _measured(library, icon)
                if colour is not None:
                    self._paints.setdefault(index, visible(colour.paint))
                    yield Drawing(
                        set_key=key,
                        icon=icon,
                        concept=index,
                        colour=colour.name,
                        hue=round(colour.hue, 1),
                        share=round(colour.share, 3),
                    )

    def _icons(self, index: int, concept: Concept, key: str, library: IconLibrary) -> Iterator[str]:
        thing = self._things.get(concept.label) if concept.subgroup in ("thing", "place-other") else None
        if thing is not None:
            yield from _thing_icons(thing, key, library)
            return
        names = (concept.label, *EVERYDAY_NAMES.get(concept.label, concept.names[:1]))
        painted = isinstance(library, PaintedLibrary)
        if painted and (
            index not in self._paints or concept.group in _UNNAMED or {concept.label, f"{key}:{concept.label}"} & _MISTAKEN
        ):
            return
        found = library.find(concept.hexcode, names)
        if found is not None:
            yield found + self._paints[index] if painted else found


def _thing_icons(thing: Thing, key: str, library: IconLibrary) -> Iterator[str]:
    for package, icon in thing.drawings:
        if isinstance(library, PaintedLibrary):
            if library.has(package, icon):
                yield f"{package}:{icon}{thing.colour}"
        elif package == "u":
            found = library.find(icon, ())
            if found is not None:
                yield found
        elif package == "sl" and key == "streamline" and library.has_icon(icon):
            yield icon


def _measured(library: IconLibrary, name: str) -> MainColour | None:
    icon = library.icon(name)
    return main_colour(render_svg([nested_svg(icon, icon.body, 0, 0, 256, 0)], _MEASURED_SIDE))
