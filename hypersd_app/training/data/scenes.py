"""Layout of the training images: single things, colours, counts, pairs, sizes and accessories."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any

from hypersd_app.training.data.words.concepts import Concept, stable_percent

HELD_OUT_COMPOSITIONS_PERCENT = 10
ACCESSORIES = {  # label: (x, y, size) of its centre and width, in parts of the wearer's size
    "sunglasses": (0.5, 0.45, 0.62),
    "glasses": (0.5, 0.45, 0.62),
    "crown": (0.5, 0.03, 0.5),
    "top hat": (0.5, 0.0, 0.5),
    "graduation cap": (0.5, 0.05, 0.62),
}
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
NUMBERS = {2: "two", 3: "three", 4: "four"}
# All stand a quarter of the image from its middle, whole latent cells apart: one drawing's latents, moved, are its latents
# in any of these places, by which the layout stage composes images that nobody rendered.
PART_SIZE = 0.45
_LEFT, _RIGHT, _TOP, _BOTTOM = (0.25, 0.5), (0.75, 0.5), (0.5, 0.25), (0.5, 0.75)
_CORNERS = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
PLACES: Mapping[str, tuple[tuple[float, float], ...]] = {  # centres, in the order in which a caption names what stands there
    "beside": (_LEFT, _RIGHT),
    "above": (_TOP, _BOTTOM),
    "two": (_LEFT, _RIGHT),
    "three": (_TOP, *_CORNERS[2:]),
    "four": _CORNERS,
    "small": ((0.5, 0.5),),
}
FAMILIAR_WEIGHT = 4  # how much more often compositions take a familiar concept than another


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One concept as one icon set draws it; `colour` is its natural main colour, `hue` in degrees."""

    set_key: str
    icon: str
    concept: int  # index into the concept table
    colour: str
    hue: float
    share: float

    @property
    def recolourable(self) -> bool:
        """Whether one chromatic surface dominates, so that a colour word has one meaning."""
        return self.share >= 0.45 and self.colour not in ("black", "white", "gray")


def other_colours(drawing: Drawing) -> list[str]:
    """Colours by name that the drawing does not have by nature."""
    return [colour for colour in COLOURS if colour != drawing.colour]


@dataclass(frozen=True)
class Placement:
    """An icon on the image: centre (x, y) and longer side in parts of the image's side."""

    icon: str
    concept: int
    _: KW_ONLY
    x: float
    y: float
    size: float
    colour: str = ""  # "" keeps the icon's own colours


@dataclass(frozen=True)
class Scene:
    """One training image before rendering. `relation` names the composition, for its caption."""

    kind: str
    set_key: str
    placements: tuple[Placement, ...]
    relation: str = ""
    held_out: bool = False

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for a JSON line."""
        return asdict(self)

    @staticmethod
    def from_json(row: dict[str, Any]) -> Scene:
        """The inverse of `to_json`."""
        return Scene(**{**row, "placements": tuple(Placement(**item) for item in row["placements"])})


class ScenePlanner:
    """Draws random scenes from a table of drawings, a pure function of the generator it is given."""

    def __init__(self, concepts: Sequence[Concept], drawings: Sequence[Drawing]) -> None:
        self.concepts = concepts
        self.by_set: dict[str, list[Drawing]] = {}
        for drawing in drawings:
            self.by_set.setdefault(drawing.set_key, []).append(drawing)
        self._composable = {key: [row for row in rows if concepts[row.concept].composable] for key, rows in self.by_set.items()}
        self._faces = {key: [row for row in rows if concepts[row.concept].has_face] for key, rows in self.by_set.items()}
        self._wear = {key: [row for row in rows if concepts[row.concept].label in ACCESSORIES] for key, rows in self.by_set.items()}
        self.makers: Mapping[str, Callable[[str, random.Random], Scene]] = {
            "colour": self._colour,
            "count": self._count,
            "pair": self._pair,
            "trio": self._trio,
            "size": self._size,
            "accessory": self._accessory,
        }

    def _pick(self, drawings: Sequence[Drawing], rng: random.Random) -> Drawing:
        """One of `drawings`, by preference a familiar concept."""
        weights = [FAMILIAR_WEIGHT if self.concepts[row.concept].familiar else 1 for row in drawings]
        return rng.choices(drawings, weights)[0]

    def single(self, drawing: Drawing, rng: random.Random, jitter: float = 1.0) -> Scene:
        """The thing alone, filling most of the image; `jitter` 0 puts it exactly in the middle."""
        size = 0.88 + jitter * rng.uniform(-0.1, 0.07)
        slack = (1 - size) / 2 * jitter
        x, y = (0.5 + rng.uniform(-slack, slack) * 0.7 for _ in range(2))
        placement = Placement(drawing.icon, drawing.concept, x=x, y=y, size=size)
        return Scene("single", drawing.set_key, (placement,), held_out=self.concepts[drawing.concept].held_out)

    def composed(self, kind: str, set_key: str, rng: random.Random) -> Scene:
        """A scene of one of the kinds in `makers`."""
        return self.makers[kind](set_key, rng)

    def _held_out(self, relation: str, *drawings: Drawing) -> bool:
        concepts = [self.concepts[row.concept] for row in drawings]
        text = "+".join([relation, *(concept.label for concept in concepts)])
        return any(c.held_out for c in concepts) or stable_percent(f"scene:{text}") < HELD_OUT_COMPOSITIONS_PERCENT

    def _colour(self, set_key: str, rng: random.Random) -> Scene:
        recolourable = [row for row in self._composable[set_key] if row.recolourable]
        if not recolourable:
            return self._pair(set_key, rng)
        drawing = self._pick(recolourable, rng)
        colour = rng.choice(other_colours(drawing))
        single = self.single(drawing, rng, rng.choice((0.0, 1.0))).placements[0]
        placement = Placement(single.icon, single.concept, x=single.x, y=single.y, size=single.size, colour=colour)
        return Scene("colour", set_key, (placement,), colour, self._held_out(colour, drawing))

    def _count(self, set_key: str, rng: random.Random) -> Scene:
        drawing = self._pick(self._composable[set_key], rng)
        number = NUMBERS[rng.choice((2, 2, 3, 3, 4))]
        placements = tuple(Placement(drawing.icon, drawing.concept, x=x, y=y, size=PART_SIZE) for x, y in PLACES[number])
        return Scene("count", set_key, placements, number, self._held_out(number, drawing))

    def _pair(self, set_key: str, rng: random.Random) -> Scene:
        first = self._pick(self._composable[set_key], rng)
        second = self._pick([row for row in self._composable[set_key] if row is not first], rng)
        relation = rng.choice(("beside", "beside", "beside", "above"))
        placements = tuple(
            Placement(row.icon, row.concept, x=x, y=y, size=PART_SIZE)
            for row, (x, y) in zip((first, second), PLACES[relation], strict=True)
        )
        return Scene("pair", set_key, placements, relation, self._held_out("and", first, second))

    def _trio(self, set_key: str, rng: random.Random) -> Scene:
        drawings = [self._pick(self._composable[set_key], rng) for _ in PLACES["three"]]
        placements = tuple(
            Placement(row.icon, row.concept, x=x, y=y, size=PART_SIZE)
            for row, (x, y) in zip(drawings, PLACES["three"], strict=True)
        )
        return Scene("trio", set_key, placements, "and", self._held_out("and", *drawings))

    def _size(self, set_key: str, rng: random.Random) -> Scene:
        drawing = self._pick(self._composable[set_key], rng)
        word = "small" if rng.random() < 0.7 else "big"
        size = PART_SIZE if word == "small" else rng.uniform(0.95, 1.0)
        placement = Placement(drawing.icon, drawing.concept, x=0.5, y=0.5, size=size)
        return Scene("size", set_key, (placement,), word, self._held_out(word, drawing))

    def part(self, drawing: Drawing, colour: str = "") -> Scene:
        """The thing half-size in the centre: a part whose latents compositions are made of."""
        placement = Placement(drawing.icon, drawing.concept, x=0.5, y=0.5, size=PART_SIZE, colour=colour)
        return Scene("part", drawing.set_key, (placement,), colour, self.concepts[drawing.concept].held_out)

    def parts(self, set_key: str, colours: int, rng: random.Random) -> Iterator[Scene]:
        """Every composable drawing in its own colours, and in `colours` others where one surface dominates."""
        for drawing in self._composable[set_key]:
            yield self.part(drawing)
            if drawing.recolourable:
                yield from (self.part(drawing, colour) for colour in rng.sample(other_colours(drawing), colours))

    def _accessory(self, set_key: str, rng: random.Random) -> Scene:
        if not self._faces[set_key] or not self._wear[set_key]:
            return self._pair(set_key, rng)
        wearer, worn = rng.choice(self._faces[set_key]), rng.choice(self._wear[set_key])
        x, y, size = ACCESSORIES[self.concepts[worn.concept].label]
        on_top = y < 0.2
        side, top = (0.74, 0.24) if on_top else (0.88, 0.06)
        left = 0.5 - side / 2
        placements = (
            Placement(wearer.icon, wearer.concept, x=0.5, y=top + side / 2, size=side),
            Placement(worn.icon, worn.concept, x=left + x * side, y=top + y * side, size=size * side),
        )
        return Scene("accessory", set_key, placements, "with", self._held_out("with", wearer, worn))


def plan_scenes(
    planner: ScenePlanner,
    set_keys: Sequence[str],
    singles_per_drawing: int,
    composed: Mapping[str, int],
    composed_sets: Sequence[str],
    seed: int,
) -> Iterator[Scene]:
    """All scenes in a fixed order: every drawing alone, then each kind of composition over `composed_sets` in turn."""
    for key in set_keys:
        for index, drawing in enumerate(planner.by_set.get(key, ())):
            for view in range(singles_per_drawing):
                # The first view stands in the middle: where words say nothing of place, most images agree on one.
                yield planner.single(drawing, random.Random(f"{seed}:single:{key}:{index}:{view}"), jitter=float(view > 0))
    for kind, count in composed.items():
        for index in range(count):
            yield planner.composed(kind, composed_sets[index % len(composed_sets)], random.Random(f"{seed}:{kind}:{index}"))
