"""Event handlers of tab "Text to image": field values become requests, results and recipes become field values."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gradio as gr

from hypersd_app.catalog.specs import ModelSpec, Range
from hypersd_app.errors import HyperSDError, InvalidRequest
from hypersd_app.images.files import encode_jpeg
from hypersd_app.images.metadata import request_of
from hypersd_app.requests import MAX_STYLES, GenerationRequest, GenerationResult, request_to_json, whole
from hypersd_app.ui.handlers import Handlers, any_seed, images
from hypersd_app.ui.i18n.texts import counted, text
from hypersd_app.ui.page_config import recipe_choices, recipe_row
from hypersd_app.ui.progress import Step
from hypersd_app.ui.recipe_matching import fitted, model_of, with_known_names

WEIGHTS = tuple(f"weight_{i}" for i in range(MAX_STYLES))
NAMES = (
    "prompt", "num_inference_steps", "num_images", "seed", "model", "recipe",
    "negative_prompt", "eta", "guidance_scale", "width", "height", "styles", *WEIGHTS,
)  # fmt: skip
# What depends on model, recipe, steps and chosen styles, in the order of `TextTab.dependent`.
DEPENDENT = ("recipe", "num_inference_steps", "negative_prompt", "eta", "guidance_scale", "width", "height", "styles", *WEIGHTS)
PATIENCE = 0.8  # seconds before progress is shown: shorter runs end before it could be read
TELL_EVERY = 0.25  # seconds between two progress updates
TIMELINE_SIDE = 256  # px


class TextActions:
    """Event handlers of the tab. Results are (gallery, status, outbox, request)."""

    def __init__(self, handlers: Handlers, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic) -> None:
        self._handlers = handlers
        self._tell_after = patience
        self._clock = clock

    def make(self, keep_seed: bool, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The button. Takes a new seed unless it is kept. Yields progress of long runs, then the result, each with the seed."""
        collected = self.collect(*values)
        if not keep_seed:
            collected["seed"] = any_seed()
        for reached in self._run(self._handlers.request(collected)):
            yield *reached, collected["seed"]

    def live(self, is_live: bool, drawn: GenerationRequest | None, *values: Any) -> Iterator[tuple[Any, ...]]:
        """A changed field. Errors go to the status line: raising would drop the change that is queued behind this one.

        A request that is shown already is not made again: choosing a model or restoring a recipe changes many fields.
        """
        if not is_live:
            yield (gr.skip(),) * 4
            return
        try:
            collected = self.collect(*values)
            if not collected["prompt"].strip():
                yield gr.skip(), text("text.status.empty"), gr.skip(), None
                return
            request = self._handlers.request(collected)
            if request == drawn:
                yield (gr.skip(),) * 4
                return
            yield from self._run(request)
        except HyperSDError as error:
            yield gr.skip(), str(error), gr.skip(), None

    def first(self, remembered: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The first image of a page: from the recipe that the browser `remembered` over a reload, else from the fields."""
        if remembered:
            found = self._restored(remembered)
            values = tuple(found[name].get("value") for name in NAMES)
        yield from self.live(True, None, *values)

    def _run(self, request: GenerationRequest) -> Iterator[tuple[Any, ...]]:
        """Run a request: yields progress once the run has taken a while, then the result."""
        tell_at = self._clock() + self._tell_after
        for reached in self._handlers.stepwise(request):
            if not isinstance(reached, Step):
                yield *shown(reached), request
            elif self._clock() >= tell_at:
                tell_at = self._clock() + min(TELL_EVERY, self._tell_after)
                image = gr.skip() if reached.image is None else gr.update(value=[reached.image], columns=1)
                yield image, f"{reached.note} · {reached.share:.0%}", gr.skip(), gr.skip()

    def collect(self, *values: Any) -> dict[str, Any]:
        """Request values by name, as the chosen model and recipe allow them.

        Options that mean nothing for the recipe are left out though their sliders have values, and when the model or the recipe
        was just changed the other fields are still those of the one before.
        """
        found = dict(zip(NAMES, values, strict=True))
        engine, model = self._handlers.engine, model_of(self._handlers.engine, found["model"])
        row = recipe_row(engine, model.name, found["recipe"] or "")
        weights = [found.pop(name) for name in WEIGHTS]
        chosen = zip(found["styles"] or (), weights, strict=False)
        wanted = {
            **found,
            "prompt": found["prompt"] or "",
            "recipe": row.name,
            "num_inference_steps": whole("num_inference_steps", found["num_inference_steps"]),
            "negative_prompt": found["negative_prompt"] or "",
            "eta": within(found["eta"], row.eta),
            "guidance_scale": within(found["guidance_scale"], row.guidance),
            "width": None if model.fixed_size else size_slider(model, "width", found["width"])["value"],
            "height": None if model.fixed_size else size_slider(model, "height", found["height"])["value"],
            "styles": [{"name": name, "weight": weight} for name, weight in chosen],
        }
        return fitted(engine, wanted)

    def options(self, model: str, recipe: str, steps: float, styles: list[str] | None, width: Any, height: Any) -> tuple[Any, ...]:
        """Show the options that the chosen recipe has. Returns updates of `TextTab.dependent`."""
        found = self._options(model, recipe, steps, styles, width, height)
        return *(gr.update(**found[name]) for name in DEPENDENT), self.triggers(model, found["styles"]["value"])

    def _options(
        self, model: str, recipe: str, steps: float, styles: list[str] | None, width: Any, height: Any
    ) -> dict[str, dict[str, Any]]:
        """Properties of the components by name."""
        engine = self._handlers.engine
        row = recipe_row(engine, model, recipe)
        low, high = row.steps[0], row.steps[-1]
        chosen = min(max(int(steps), low), high)
        guided, noisy = row.guidance or (1.0, 1.0, 2.0), row.eta or (0.0, 0.0, 1.0)
        titles = {style.name: style.title for style in engine.styles(model)}
        kept = [name for name in styles or () if name in titles][:MAX_STYLES]
        return {
            "recipe": {"choices": recipe_choices(engine, model), "value": row.name},
            "num_inference_steps": {
                "minimum": low, "maximum": max(high, low + 1), "value": chosen, "interactive": high > low,
            },
            "negative_prompt": {"visible": row.negative_prompt},
            "eta": {"visible": row.eta_matters(chosen), "minimum": noisy[0], "maximum": noisy[2]},
            "guidance_scale": {"visible": row.uses_guidance, "minimum": guided[0], "maximum": guided[2]},
            "width": size_slider(model_of(engine, model), "width", width),
            "height": size_slider(model_of(engine, model), "height", height),
            "styles": {"choices": [(title, name) for name, title in titles.items()], "value": kept, "visible": bool(titles)},
            **{
                name: {"visible": i < len(kept), "label": titles[kept[i]] if i < len(kept) else text("styles.weight")}
                for i, name in enumerate(WEIGHTS)
            },
        }  # fmt: skip

    def triggers(self, model: str, styles: list[str]) -> Any:
        """The line that says which words the chosen styles add to the prompt."""
        words = [style.trigger for style in self._handlers.engine.styles(model) if style.name in styles and style.trigger]
        return gr.update(value=text("text.triggers").format(words=", ".join(words)), visible=bool(words))

    def restore(self, message: str) -> tuple[Any, ...]:
        """Updates of `TextTab.request` from a recipe the page's scripts hand over, each with the range it needs."""
        found = self._restored(message)
        return tuple(gr.update(**found[name]) for name in NAMES)

    def _restored(self, message: str) -> dict[str, dict[str, Any]]:
        """Properties of the components by name. Raises InvalidRequest for a message that is no recipe."""
        values, _ = with_known_names(self._handlers.engine, self._handlers.default_model, recipe_of(message))
        styles = {style["name"]: style["weight"] for style in values["styles"][:MAX_STYLES]}
        row = recipe_row(self._handlers.engine, values["model"], values["recipe"])
        wanted = {
            **{name: values.get(name) for name in NAMES},
            # A value missing from the recipe was the usual one, whatever the sliders show now.
            "eta": or_usual(values.get("eta"), row.eta),
            "guidance_scale": or_usual(values.get("guidance_scale"), row.guidance),
            "num_images": 1,
            "negative_prompt": values.get("negative_prompt") or "",
            "styles": list(styles),
            **dict(zip(WEIGHTS, styles.values(), strict=False)),
        }
        found = self._options(
            values["model"],
            values["recipe"],
            values["num_inference_steps"],
            list(styles),
            values.get("width"),
            values.get("height"),
        )
        return {name: merged(name, wanted[name], found.get(name, {})) for name in NAMES}


def recipe_of(message: str) -> Mapping[str, Any]:
    """A recipe's head from JSON. Raises InvalidRequest."""
    try:
        head = json.loads(message)
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict):
        raise InvalidRequest("recipe", message, "a recipe as this page writes it")
    return head


def within(value: Any, limits: Range | None) -> Any:
    """`value` or the nearest that the limits (lowest, usual, highest) allow; None, the recipe's own, stays."""
    return value if value is None or limits is None else min(max(value, limits[0]), limits[2])


def or_usual(value: Any, limits: Range | None) -> Any:
    """`value`, or the usual one of the limits (lowest, usual, highest) where it is None."""
    return limits[1] if value is None and limits is not None else value


def merged(name: str, value: Any, properties: dict[str, Any]) -> dict[str, Any]:
    """A component's properties with its restored value, in the range they allow; what the options have decided already stays."""
    if value is None or name in ("recipe", "num_inference_steps", "styles", "width", "height"):
        return properties
    if "minimum" in properties:
        value = min(max(value, properties["minimum"]), properties["maximum"])
    return {**properties, "value": value}


def size_slider(model: ModelSpec, side: str, value: Any) -> dict[str, Any]:
    """Properties of a size's slider: the model's range, and its own size unless `value` fits."""
    low, high, step = model.smallest, model.largest, model.size_multiple
    fits = isinstance(value, (int, float)) and low <= value <= high and value % step == 0
    return {
        "minimum": low, "maximum": max(high, low + step), "step": step,
        "value": value if fits else getattr(model, side), "visible": not model.fixed_size,
    }  # fmt: skip


def shown(result: GenerationResult) -> tuple[Any, str, str]:
    """A result as (gallery, status, outbox)."""
    return gallery_of(result), status_of(result), outbox_of(result)


def gallery_of(result: GenerationResult) -> Any:
    """The gallery with a result's images, in a fitting number of columns."""
    count = len(result.images)
    return gr.update(value=images(result), columns={1: 1, 2: 2, 3: 3, 4: 2}.get(count, 4))


def status_of(result: GenerationResult) -> str:
    """One line under the images."""
    request = result.request
    done = text("text.status.done").format(
        images=counted("images", len(result.images)), steps=counted("steps", request.num_inference_steps),
        total=result.milliseconds.get("total", 0.0), seed=request.seed,
    )  # fmt: skip
    return " · ".join([done, *result.notes])


def outbox_of(result: GenerationResult) -> str:
    """The images, small, with their recipes, as JSON for the timeline in the browser."""
    frames = []
    for i, image in enumerate(result.images):
        small = image.copy()
        small.thumbnail((TIMELINE_SIDE, TIMELINE_SIDE))
        head = request_to_json(request_of(result, i))
        frames.append({"head": head, "picture": base64.b64encode(encode_jpeg(small)).decode()})
    return json.dumps(frames)
