"""From a request to a plan: every name looked up, every option filled in, everything a recipe restricts checked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from PIL import Image

from hypersd_app.catalog import validation
from hypersd_app.catalog.catalog import Catalog
from hypersd_app.catalog.specs import ControlSpec, DecoderSpec, EmbeddingSpec, ModelSpec, Recipe, StyleSpec
from hypersd_app.diffusion.guidance import is_guided
from hypersd_app.images.painting import Canvas, canvas_of
from hypersd_app.images.scribble import white_strokes
from hypersd_app.prompts.schedules import Schedule, prompt_schedule
from hypersd_app.prompts.tags import START, take_tags
from hypersd_app.prompts.wording import A1111, PLAIN, USUAL, Wording
from hypersd_app.requests import BatchKey, GenerationRequest, StyleWeight

AppliedStyles = tuple[tuple[StyleSpec, float], ...]
KEPT = 256  # choices; a visitor who moves a slider makes one at every notch


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What a batch key means: rows of the catalogue, values for all options. Compared by identity: there is one for each key."""

    model: ModelSpec
    recipe: Recipe
    decoder: DecoderSpec
    control: ControlSpec | None
    styles: AppliedStyles
    num_inference_steps: int
    guidance_scale: float
    guided: bool  # whether that scale needs the unconditional prediction too
    eta: float
    width: int
    height: int
    strength: float | None = None  # with an init image
    embeddings: tuple[EmbeddingSpec, ...] = ()
    notes: tuple[str, ...] = ()  # what the prompt's tags name and is not here, a sentence each

    def fits(self, other: Choice) -> bool:
        """Whether both can run as one batch. One without a control image can: with scale 0 the other's ControlNet adds nothing."""
        if self is other:
            return True
        if self.control is not None and other.control is not None and self.control != other.control:
            return False
        return all(getattr(self, name) == getattr(other, name) for name in SHARED)


SHARED = ("model", "recipe", "decoder", "styles", "num_inference_steps", "guidance_scale", "eta", "width", "height", "strength")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A request that can be run. `pixels` is its control image, uint8 (height, width, 3), or None; `canvas` its init image."""

    request: GenerationRequest
    choice: Choice
    pixels: NDArray[np.uint8] | None
    canvas: Canvas | None = None

    @property
    def filled(self) -> GenerationRequest:
        """The request with all options filled in."""
        choice, init = self.choice, self.request.init
        return replace(
            self.request,
            init=init if init is None or choice.strength is None else replace(init, strength=choice.strength),
            recipe=choice.recipe.name,
            guidance_scale=choice.guidance_scale,
            eta=choice.eta,
            width=choice.width,
            height=choice.height,
            decoder=choice.decoder.name,
            prompt_grammar=self.grammar,
        )

    @property
    def grammar(self) -> str:
        """The grammar of the words: as the request says, else the usual one of the model."""
        return self.request.prompt_grammar or USUAL.get(self.choice.model.family, PLAIN)

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the prompt does nothing, a sentence each."""
        prompt = self.request.prompt
        return (*self.choice.notes, *take_tags(prompt).notes) if START in prompt else self.choice.notes

    @property
    def words(self) -> str:
        """The prompt without the tags in it."""
        prompt = self.request.prompt
        return (take_tags(prompt).text if START in prompt else prompt).strip()

    @property
    def prompt(self) -> str:
        """The prompt with the styles' trigger words, where they are not in it already."""
        return self.wording(self.words, negative=False).whole if self.choice.styles else self.words

    def schedule(self, text: str) -> Schedule:
        """The last step of each text that a prompt, or a negative one, has over the steps. Only A1111's grammar has several."""
        steps = self.choice.num_inference_steps
        return prompt_schedule(text, steps) if self.grammar == A1111 else ((steps, text),)

    def wording(self, text: str, *, negative: bool) -> Wording:
        """`text`, the prompt or the negative one, as the text encoder is given it."""
        words = [] if negative else [style.trigger for style, _ in self.choice.styles if style.trigger]
        missing = [word for word in words if word.lower() not in self.words.lower()]
        plain = text.casefold()
        named = tuple(row for row in self.choice.embeddings if row.name.casefold() in plain)
        return Wording(text, self.grammar, self.request.clip_skip, ", ".join(missing), named)


class Planner:
    """Plans requests against a catalogue; what a batch key means is looked up once. Thread-safe."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: LRUCache[tuple[int, BatchKey], Choice] = LRUCache(KEPT)
        self._lock = threading.Lock()

    def plan(self, request: GenerationRequest) -> Plan:
        """The plan of `request`. Raises InvalidRequest, naming field, value and what is allowed."""
        key, control = request.batch_key(), request.control
        if control is not None and not control.image.any():
            key, control = replace(key, control=""), None  # a blank one means no control, whatever the model can follow
        choice = self._choice(key)
        pixels = None if control is None else control_pixels(control.image, choice.width, choice.height)
        if pixels is not None and choice.control is not None and choice.control.white_strokes:
            pixels = white_strokes(pixels)
        if request.negative_prompt:
            validation.check_negative_prompt(choice.recipe, request.negative_prompt, choice.guidance_scale)
        canvas = None if request.init is None else canvas_of(request.init, choice.width, choice.height)
        return Plan(request=request, choice=choice, pixels=pixels, canvas=canvas)

    def _choice(self, key: BatchKey) -> Choice:
        generation = self._catalog.generation
        with self._lock:
            found = self._known.get((generation, key))
        if found is None:
            found = choose(self._catalog, key)
            with self._lock:
                found = self._known.setdefault((generation, key), found)
        return found


def make_plan(catalog: Catalog, request: GenerationRequest) -> Plan:
    """The plan of one request. Raises InvalidRequest."""
    return Planner(catalog).plan(request)


def choose(catalog: Catalog, key: BatchKey) -> Choice:
    """Look everything up that `key` names. Raises InvalidRequest."""
    model = catalog.model(key.model)
    recipe = validation.choose_recipe(model, key.recipe, key.num_inference_steps)
    validation.check_steps(recipe, key.num_inference_steps)
    guidance_scale = validation.allowed_guidance(recipe, key.guidance_scale)
    tagged, missing = tagged_styles(catalog, model, key.tags)
    return Choice(
        model=model,
        recipe=recipe,
        guidance_scale=guidance_scale,
        guided=is_guided(guidance_scale),
        eta=validation.allowed_eta(recipe, key.eta),
        width=validation.check_size(model, "width", key.width, model.width),
        height=validation.check_size(model, "height", key.height, model.height),
        decoder=catalog.decoder(model, key.decoder),
        control=catalog.control(model, key.control) if key.control else None,
        styles=(*((catalog.style(model, style.name), style.weight) for style in key.styles if style.weight), *tagged),
        num_inference_steps=key.num_inference_steps,
        strength=validation.allowed_strength(model, recipe, key.init),
        embeddings=catalog.embeddings(model),
        notes=tuple(f"the style {name} that the prompt names is not here" for name in missing),
    )


def tagged_styles(catalog: Catalog, model: ModelSpec, tags: Sequence[StyleWeight]) -> tuple[AppliedStyles, list[str]]:
    """Styles that a prompt's tags name, by file, title or the name of their training; and the names that mean none."""
    found = [(tag, catalog.style_named(model, tag.name)) for tag in tags]
    return tuple((style, tag.weight) for tag, style in found if style), [tag.name for tag, style in found if not style]


def leading(plans: Sequence[Plan]) -> Plan:
    """The plan whose pipeline draws all of `plans`: one with a control image, if there is one."""
    assert all(plans[0].choice.fits(plan.choice) for plan in plans[1:]), "only requests that share a batch key run as one batch"
    return next((plan for plan in plans if plan.pixels is not None), plans[0])


def control_pixels(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The control image at the drawn size, resampled as diffusers does."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
