"""Captions for scenes: names, synonyms, colours, counts, places and style words in many phrasings."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypersd_app.training.data.icons.sources import EMOJI_SETS, ICON_SETS
from hypersd_app.training.data.scenes import Drawing, Placement, Scene
from hypersd_app.training.data.words.concepts import COLOUR_WORDS, FACES, PEOPLE, Concept
from hypersd_app.training.data.words.grammar import plural, with_article

# How often a caption names the style. Words that leave it open may be answered by any set of emoji: images differ between
# seeds. Sets that nobody expects unasked, such as icons of lines alone, always carry their words: what has eighteen answers
# is learnt as the mean of all.
_STYLE_SHARE = 0.5
_SHORT_SHARE = 0.15  # captions of one or two words, as people type first
_USUAL_SHARE = 0.65  # the usual name; otherwise a synonym or a broader term
_KIND_SHARE = 0.35  # of the other names
_COLOUR_SHARE = 0.4

# How people ask. The evaluation's own phrases are others, which no model is trained on.
_REQUESTS = ("a picture of {}", "a drawing of {}", "cute {}", "{} emoji", "a cartoon of {}", "{} on a white background",
             "show me {}", "I want {}", "simple illustration of {}", "{} clipart", "make {}", "an image showing {}")  # fmt: skip


def as_request(caption: str, rng: random.Random) -> str:
    """The caption inside a phrase of request, such as "draw …"."""
    return rng.choice(_REQUESTS).format(caption)


class Captioner:
    """Writes captions for scenes over one table of concepts and drawings."""

    def __init__(self, concepts: Sequence[Concept], drawings: Sequence[Drawing]) -> None:
        self.concepts = concepts
        self._drawing = {(row.set_key, row.icon): row for row in drawings}

    def caption(self, scene: Scene, rng: random.Random, style: bool = True) -> str:
        """One caption; different draws of `rng` give different phrasings of the same content."""
        expected = scene.set_key in EMOJI_SETS
        short = scene.kind == "single" and rng.random() < _SHORT_SHARE
        text = self._name(self.concepts[scene.placements[0].concept], rng, kinds=True) if short else self._content(scene, rng)
        if style and (not expected or (not short and rng.random() < _STYLE_SHARE)):
            words = rng.choice(ICON_SETS[scene.set_key].style_words)
            text = rng.choice((f"{text}, {words}", f"{text}, {words}", f"{text} in {words}", f"{words}, {text}"))
        return text

    def _name(self, concept: Concept, rng: random.Random, kinds: bool = False) -> str:
        """The usual name or a synonym; `kinds` also allows broader terms ("flower" for a rose)."""
        others = concept.names[1:]
        if rng.random() < _USUAL_SHARE or not (others or (kinds and concept.kinds)):
            return concept.names[0]
        if kinds and concept.kinds and (not others or rng.random() < _KIND_SHARE):
            return rng.choice(concept.kinds)
        return rng.choice(others or concept.names)

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
        return self._single(scene, concepts[0], rng)

    def _single(self, scene: Scene, concept: Concept, rng: random.Random) -> str:
        name = self._name(concept, rng, kinds=True)
        if name.endswith(" face") and not name.endswith(" a face") and concept.group != FACES and rng.random() < 0.4:
            name = name.removesuffix(" face")
        drawing = self._drawing.get((scene.set_key, scene.placements[0].icon))
        coloured = drawing is not None and drawing.share >= 0.5 and name.split()[0] not in COLOUR_WORDS
        if coloured and drawing is not None and concept.composable and rng.random() < _COLOUR_SHARE:
            name = f"{drawing.colour} {name}"
        draw = rng.random()
        if draw < 0.15 and concept.tags and concept.group in (FACES, PEOPLE):
            return f"{name}, {', '.join(rng.sample(concept.tags, min(2, len(concept.tags))))}"
        kinds = [kind for kind in concept.kinds if kind not in name.split()]
        if draw < 0.2 and kinds:
            return f"{with_article(name)}, {with_article(rng.choice(kinds))}"
        if draw < 0.25:
            return f"one {name}" if with_article(name) != name else name
        return name if draw < 0.55 else with_article(name)

    def _coloured(self, item: Placement, rng: random.Random) -> str:
        concept = self.concepts[item.concept]
        return f"{item.colour} {concept.noun}" if item.colour else self._name(concept, rng)

    def _several(self, scene: Scene, names: list[str], rng: random.Random) -> str:
        """Captions that name no position mean side by side, the first on the left: if left open, the model averages both orders."""
        one, two, *more = (with_article(name) for name in names)
        if more:
            return rng.choice((f"{one}, {two} and {more[0]}", f"{one}, {two}, {more[0]}", ", ".join(names)))
        if scene.relation == "above":
            return rng.choice((f"{one} above {two}", f"{two} below {one}", f"{one} over {two}", f"{one} on top of {two}"))
        phrases = (f"{one} and {two}", f"{one} and {two}", f"{names[0]} and {names[1]}", f"{one} next to {two}",
                   f"{one} beside {two}", f"{one} on the left and {two} on the right",
                   f"{one} left of {two}", f"{two} to the right of {one}")  # fmt: skip
        return rng.choice(phrases)
