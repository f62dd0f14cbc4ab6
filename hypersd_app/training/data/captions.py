"""Captions for scenes: names, synonyms, colours, counts, places and style words in many phrasings."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypersd_app.training.data.concepts import COLOUR_WORDS, FACES, Concept
from hypersd_app.training.data.scenes import Drawing, Placement, Scene
from hypersd_app.training.data.sources import ICON_SETS, MAIN_SET

_PLURAL_ONLY = ("s",)
_IRREGULAR = {"mouse": "mice", "fish": "fish", "sheep": "sheep", "goose": "geese", "foot": "feet", "knife": "knives",
              "leaf": "leaves", "wolf": "wolves", "person": "people", "deer": "deer", "ox": "oxen", "tooth": "teeth"}  # fmt: skip
# How often a caption names the style. The main set is what no style word means, so the others nearly always carry theirs:
# words that leave the style open have to be answered with a mixture, and a mixture is blurred.
_STYLE_SHARE = {MAIN_SET: 0.15}
_DEFAULT_STYLE_SHARE = 0.97

# How people ask. The evaluation's own phrases are others, which no model is trained on.
_REQUESTS = ("a picture of {}", "a drawing of {}", "cute {}", "{} emoji", "a cartoon of {}", "{} on a white background",
             "show me {}", "I want {}", "simple illustration of {}", "{} clipart", "make {}", "an image showing {}")  # fmt: skip


def as_request(caption: str, rng: random.Random) -> str:
    """A caption in words around it that say nothing of the picture."""
    return rng.choice(_REQUESTS).format(caption)


def with_article(noun: str) -> str:
    """ "apple" to "an apple"; plural names keep none."""
    last = noun.split()[-1]
    if last.endswith(_PLURAL_ONLY) and not last.endswith(("ss", "us", "is")):
        return noun
    return f"{'an' if noun[0] in 'aeiou' and not noun.startswith(('uni', 'ufo', 'euro')) else 'a'} {noun}"


def plural(noun: str) -> str:
    """The plural of a name by its last word."""
    head, _, last = noun.rpartition(" ")
    prefix = f"{head} " if head else ""
    if last in _IRREGULAR:
        return prefix + _IRREGULAR[last]
    if last.endswith("s") and not last.endswith(("ss", "us")):
        return noun
    if last.endswith(("ch", "sh", "x", "ss", "us", "z")):
        return f"{prefix}{last}es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return f"{prefix}{last[:-1]}ies"
    return f"{prefix}{last}s"


class Captioner:
    """Writes captions for scenes over one table of concepts and drawings."""

    def __init__(self, concepts: Sequence[Concept], drawings: Sequence[Drawing]) -> None:
        self.concepts = concepts
        self._drawing = {(row.set_key, row.concept): row for row in drawings}

    def caption(self, scene: Scene, rng: random.Random, style: bool = True) -> str:
        """One caption; different draws of `rng` give different phrasings of the same content."""
        text = self._content(scene, rng)
        share = _STYLE_SHARE.get(scene.set_key, _DEFAULT_STYLE_SHARE)
        if style and rng.random() < share:
            words = rng.choice(ICON_SETS[scene.set_key].style_words)
            text = rng.choice((f"{text}, {words}", f"{text}, {words}", f"{text} in {words}"))
        return text

    def _name(self, concept: Concept, rng: random.Random) -> str:
        if len(concept.names) == 1 or rng.random() < 0.6:
            return concept.names[0]
        return rng.choice(concept.names[1:])

    def _content(self, scene: Scene, rng: random.Random) -> str:
        concepts = [self.concepts[item.concept] for item in scene.placements]
        if scene.kind in ("pair", "trio"):
            return self._several(scene, [self._coloured(item, rng) for item in scene.placements], rng)
        name = self._name(concepts[0], rng)
        if scene.kind == "colour":
            return with_article(f"{scene.relation} {concepts[0].noun}")
        if scene.kind == "count":
            return f"{scene.relation} {plural(name)}"
        if scene.kind in ("size", "part"):
            words = ("small", "small", "tiny", "little") if scene.relation != "big" else ("big", "large", "huge")
            return with_article(f"{rng.choice(words)} {self._coloured(scene.placements[0], rng)}")
        if scene.kind == "accessory":
            worn = self.concepts[scene.placements[1].concept].names[0]
            wearer = name.removesuffix(" face") if rng.random() < 0.6 and concepts[0].group != FACES else name
            one, two = with_article(wearer), with_article(worn)
            return rng.choice((f"{one} with {two}", f"{one} wearing {two}", f"{wearer} with {worn}"))
        return self._single(scene, concepts[0], name, rng)

    def _single(self, scene: Scene, concept: Concept, name: str, rng: random.Random) -> str:
        if name.endswith(" face") and concept.group != FACES and rng.random() < 0.4:
            name = name.removesuffix(" face")
        drawing = self._drawing.get((scene.set_key, scene.placements[0].concept))
        coloured = drawing is not None and drawing.share >= 0.5 and name.split()[0] not in COLOUR_WORDS
        if coloured and drawing is not None and concept.composable and rng.random() < 0.2:
            name = f"{drawing.colour} {name}"
        draw = rng.random()
        if draw < 0.12 and concept.tags:
            return f"{name}, {', '.join(rng.sample(concept.tags, min(2, len(concept.tags))))}"
        return name if draw < 0.5 else with_article(name)

    def _coloured(self, item: Placement, rng: random.Random) -> str:
        concept = self.concepts[item.concept]
        return f"{item.colour} {concept.noun}" if item.colour else self._name(concept, rng)

    def _several(self, scene: Scene, names: list[str], rng: random.Random) -> str:
        """Words without a place mean side by side, the first on the left: left open, they would be answered with a mixture."""
        one, two, *more = (with_article(name) for name in names)
        if more:
            return rng.choice((f"{one}, {two} and {more[0]}", f"{one}, {two}, {more[0]}", ", ".join(names)))
        if scene.relation == "above":
            return rng.choice((f"{one} above {two}", f"{two} below {one}", f"{one} over {two}", f"{one} on top of {two}"))
        phrases = (f"{one} and {two}", f"{one} and {two}", f"{names[0]} and {names[1]}", f"{one} next to {two}",
                   f"{one} beside {two}", f"{one} on the left and {two} on the right",
                   f"{one} left of {two}", f"{two} to the right of {one}")  # fmt: skip
        return rng.choice(phrases)
