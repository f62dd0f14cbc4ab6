"""Tab "Text to image": pictures from words, while they are typed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from hypersd_app.catalog.rows import ModelSpec
from hypersd_app.engine.metadata import request_of
from hypersd_app.engine.requests import MAX_IMAGES, MAX_PROMPT_LENGTH, MAX_SEED, MAX_STYLES, GenerationResult
from hypersd_app.errors import HyperSDError
from hypersd_app.server.board_requests import recipe_values, whole
from hypersd_app.server.pictures import encode_jpeg
from hypersd_app.ui.choices import model_choices, recipe_choices, recipe_row
from hypersd_app.ui.errors import for_people
from hypersd_app.ui.grid import model_of
from hypersd_app.ui.handlers import Handlers, any_seed, pictures
from hypersd_app.ui.previews import Step
from hypersd_app.ui.scripts import markup, mount
from hypersd_app.ui.texts import text

WEIGHTS = tuple(f"weight_{i}" for i in range(MAX_STYLES))
NAMES = (
    "prompt", "num_inference_steps", "num_images", "seed", "model", "recipe",
    "negative_prompt", "eta", "guidance_scale", "width", "height", "styles", *WEIGHTS,
)  # fmt: skip
# What depends on model, recipe, steps and chosen styles, in the order of `TextTab.dependent`.
DEPENDENT = ("recipe", "num_inference_steps", "negative_prompt", "eta", "guidance_scale", "width", "height", "styles", *WEIGHTS)
STEPWISE_FROM = 8  # steps: shorter runs are over before a step could be read
PROMPT_ATTRIBUTES = gr.InputHTMLAttributes(autocomplete="off", enterkeyhint="go")
TIMELINE_SIDE = 256


@dataclass(frozen=True)
class TextTab:
    """The tab's components."""

    prompt: gr.Textbox
    steps: gr.Slider
    images: gr.Slider
    seed: gr.Number
    model: gr.Dropdown
    recipe: gr.Dropdown
    negative: gr.Textbox
    eta: gr.Slider
    guidance: gr.Slider
    width: gr.Slider
    height: gr.Slider
    styles: gr.Dropdown
    weights: tuple[gr.Slider, ...]
    triggers: gr.Markdown
    live: gr.Checkbox
    lock: gr.Checkbox
    gallery: gr.Gallery
    status: gr.Markdown
    make: gr.Button
    dice: gr.Button
    outbox: gr.HTML

    @property
    def request(self) -> list[Any]:
        """Components that describe a request, in the order of NAMES."""
        return [
            self.prompt, self.steps, self.images, self.seed, self.model, self.recipe,
            self.negative, self.eta, self.guidance, self.width, self.height, self.styles, *self.weights,
        ]  # fmt: skip

    @property
    def dependent(self) -> list[Any]:
        """Components in the order of DEPENDENT, and the line of trigger words."""
        return [
            self.recipe, self.steps, self.negative, self.eta, self.guidance, self.width, self.height,
            self.styles, *self.weights, self.triggers,
        ]  # fmt: skip

    @property
    def shown(self) -> list[Any]:
        """Components that show a result."""
        return [self.gallery, self.status, self.outbox]


class TextActions:
    """What the tab's events do. Results come as (gallery, status, outbox)."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def make(self, keep_seed: bool, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The button: a new seed unless it is kept. Yields a result and the seed; in long runs what there is by now first."""
        collected = self.collect(*values)
        if not keep_seed:
            collected["seed"] = any_seed()
        if collected["num_inference_steps"] < STEPWISE_FROM:
            result = self._handlers.from_values(collected)
            yield *shown(result), int(result.request.seed)
            return
        for reached in self._handlers.stepwise(collected):
            if isinstance(reached, Step):
                picture = gr.skip() if reached.picture is None else gr.update(value=[reached.picture], columns=1)
                yield picture, f"{reached.note} · {reached.share:.0%}", gr.skip(), gr.skip()
            else:
                yield *shown(reached), int(reached.request.seed)

    def live(self, is_live: bool, *values: Any) -> tuple[Any, ...]:
        """A keystroke. Errors become the status line: raising would lose the keystroke that waits behind this one."""
        if not is_live:
            return gr.skip(), gr.skip(), gr.skip()
        collected = self.collect(*values)
        if not collected["prompt"].strip():
            return gr.skip(), text("text.status.empty"), gr.skip()
        try:
            return shown(self._handlers.from_values(collected))
        except HyperSDError as error:
            return gr.skip(), str(error), gr.skip()

    def first(self, *values: Any) -> tuple[Any, ...]:
        """The picture that greets a visitor."""
        return self.live(True, *values)

    def collect(self, *values: Any) -> dict[str, Any]:
        """Request values by name; options that mean nothing for the recipe are left out, though their sliders have values."""
        found = dict(zip(NAMES, values, strict=True))
        row = recipe_row(self._handlers.engine, found["model"], found["recipe"] or "")
        weights = [found.pop(name) for name in WEIGHTS]
        steps = whole("num_inference_steps", found["num_inference_steps"])
        fixed = model_of(self._handlers.engine, found["model"]).fixed_size
        return {
            **found,
            "prompt": found["prompt"] or "",
            "recipe": row.name,
            "num_inference_steps": steps,
            "negative_prompt": found["negative_prompt"] if row.negative_prompt else "",
            "eta": found["eta"] if row.eta_matters(steps) else None,
            "guidance_scale": found["guidance_scale"] if row.uses_guidance else None,
            "width": None if fixed else found["width"],
            "height": None if fixed else found["height"],
            "styles": [{"name": name, "weight": weight} for name, weight in zip(found["styles"] or (), weights, strict=False)],
        }

    def options(self, model: str, recipe: str, steps: float, styles: list[str] | None, width: Any, height: Any) -> tuple[Any, ...]:
        """Show what means something. Returns updates of `TextTab.dependent`."""
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
        values = json.loads(message)
        styles = {style["name"]: style["weight"] for style in values.get("styles") or ()}
        wanted = {
            **{name: values.get(name) for name in NAMES},
            "num_images": 1,
            "negative_prompt": values.get("negative_prompt") or "",
            "styles": list(styles),
            **dict(zip(WEIGHTS, styles.values(), strict=False)),
        }
        found = self._options(
            values["model"], values.get("recipe") or "", values["num_inference_steps"], list(styles), values.get("width"),
            values.get("height"),
        )  # fmt: skip
        return tuple(gr.update(**merged(name, wanted[name], found.get(name, {}))) for name in NAMES)


def merged(name: str, value: Any, properties: dict[str, Any]) -> dict[str, Any]:
    """A component's properties with its restored value; what the options have decided already (names, steps) stays."""
    if value is None or name in ("recipe", "num_inference_steps", "styles"):
        return properties
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
    """The gallery with a result's pictures, in as many columns as look well."""
    count = len(result.images)
    return gr.update(value=pictures(result), columns={1: 1, 2: 2, 3: 3, 4: 2}.get(count, 4))


def status_of(result: GenerationResult) -> str:
    """One line under the pictures."""
    request = result.request
    pictures = f"{len(result.images)} picture{'s' if len(result.images) > 1 else ''}"
    steps = f"{request.num_inference_steps} step{'s' if request.num_inference_steps > 1 else ''}"
    total = result.milliseconds.get("total", 0.0)
    return text("text.status.done").format(count=pictures, total=total, seed=request.seed, steps=steps)


def outbox_of(result: GenerationResult) -> str:
    """The pictures, small, with their recipes, as JSON for the timeline in the browser."""
    frames = []
    for i, image in enumerate(result.images):
        small = image.copy()
        small.thumbnail((TIMELINE_SIDE, TIMELINE_SIDE))
        head = recipe_values(request_of(result, i))
        frames.append({"head": head, "picture": base64.b64encode(encode_jpeg(small)).decode()})
    return json.dumps(frames)


def add_text_to_image(handlers: Handlers, uplink: gr.HTML, blocks: gr.Blocks) -> TextTab:
    """Build the tab inside the Blocks being built and connect it; `uplink` says "restore" when a recipe comes back."""
    with gr.Row(elem_classes="hs-t2i-bar", equal_height=True):
        prompt = gr.Textbox(
            text("text.first_prompt"), label=text("text.prompt"), show_label=False, placeholder=text("text.prompt.placeholder"),
            container=False, max_length=MAX_PROMPT_LENGTH, scale=6, autofocus=True, elem_id="hs-text-prompt",
            html_attributes=PROMPT_ATTRIBUTES,
        )  # fmt: skip
        make = gr.Button(text("text.make"), variant="primary", scale=0, min_width=150, elem_id="hs-text-make")
    gr.HTML(value="", html_template=markup("ideas.html"), js_on_load=mount("mountIdeas"), apply_default_css=False)
    with gr.Row(elem_classes="hs-t2i-main"):
        with gr.Column(scale=3, min_width=300):
            gallery = gr.Gallery(
                label=text("text.gallery"), show_label=False, columns=1, object_fit="contain", height="auto",
                format="png", elem_id="hs-text-gallery", buttons=["download", "fullscreen"],
            )  # fmt: skip
            status = gr.Markdown(text("text.status.idle"), elem_classes="hs-t2i-status", elem_id="hs-text-status")
        with gr.Column(scale=2, min_width=280, elem_classes="hs-t2i-controls"):
            rest = _controls(handlers)
    outbox = gr.HTML(
        value="", html_template="<span hidden></span>", elem_classes="hs-invisible",
        js_on_load='watch("value", () => window.hypersd.collect(props.value));',
    )  # fmt: skip
    tab = TextTab(prompt=prompt, make=make, gallery=gallery, status=status, outbox=outbox, **rest)
    _connect(tab, TextActions(handlers), uplink, blocks)
    return tab


def _controls(handlers: Handlers) -> dict[str, Any]:
    engine, model = handlers.engine, handlers.default_model
    row = recipe_row(engine, model, "")
    styles = [(style.title, style.name) for style in engine.styles(model)]
    made: dict[str, Any] = {}
    made["live"] = gr.Checkbox(True, label=text("text.live"), container=False, elem_id="hs-text-live")
    made["steps"] = gr.Slider(
        row.steps[0], max(row.steps[-1], row.steps[0] + 1), row.steps[0], step=1, buttons=[],
        label=text("text.steps"), elem_id="hs-text-steps",
    )  # fmt: skip
    made["images"] = gr.Slider(1, MAX_IMAGES, 1, step=1, label=text("text.images"), buttons=[], elem_id="hs-text-images")
    with gr.Row(equal_height=True, elem_classes="hs-t2i-seed"):
        made["seed"] = gr.Number(7, label=text("text.seed"), precision=0, minimum=0, maximum=MAX_SEED, elem_id="hs-text-seed")
        made["dice"] = gr.Button(text("text.dice"), scale=0, min_width=104, elem_id="hs-text-dice")
    made["lock"] = gr.Checkbox(True, label=text("text.lock"), container=False, elem_id="hs-text-lock")
    made["styles"] = gr.Dropdown(
        styles, value=[], multiselect=True, max_choices=MAX_STYLES, label=text("text.styles"), visible=bool(styles),
        elem_id="hs-text-styles",
    )  # fmt: skip
    made["weights"] = tuple(gr.Slider(-1, 2, 1, step=0.05, label=text("styles.weight"), visible=False, buttons=[]) for _ in WEIGHTS)
    made["triggers"] = gr.Markdown("", visible=False, elem_id="hs-text-triggers", elem_classes="hs-quiet-text")
    with gr.Accordion(text("text.more"), open=False):
        made["model"] = gr.Dropdown(model_choices(engine), value=model, label=text("text.model"), elem_id="hs-text-model")
        made["recipe"] = gr.Dropdown(recipe_choices(engine, model), value=row.name, label=text("text.recipe"))
        size = model_of(engine, model)
        with gr.Row():
            made["width"] = gr.Slider(**size_slider(size, "width", None), label=text("text.width"), buttons=[])
            made["height"] = gr.Slider(**size_slider(size, "height", None), label=text("text.height"), buttons=[])
        made["negative"] = gr.Textbox(label=text("text.negative"), visible=row.negative_prompt)
        made["eta"] = gr.Slider(0, 1, (row.eta or (0.0, 1.0, 1.0))[1], step=0.05, label=text("text.eta"), visible=False, buttons=[])
        low, usual, high = row.guidance or (1.0, 1.0, 2.0)
        made["guidance"] = gr.Slider(low, high, usual, step=0.5, label=text("text.guidance"), visible=row.uses_guidance, buttons=[])
    return made


def _connect(tab: TextTab, actions: TextActions, uplink: gr.HTML, blocks: gr.Blocks) -> None:
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    for trigger in (tab.make.click, tab.prompt.submit):
        trigger(
            for_people(actions.make), [tab.lock, *tab.request], [*tab.shown, tab.seed],
            api_visibility="private", show_progress="minimal", show_progress_on=tab.status,
        )  # fmt: skip
    tab.dice.click(any_seed, None, tab.seed, **quiet)
    live = [tab.prompt, tab.steps, tab.seed, tab.negative, tab.eta, tab.guidance, tab.width, tab.height, tab.styles, *tab.weights]
    gr.on(
        [part.change for part in live],  # type: ignore[attr-defined]
        actions.live, [tab.live, *tab.request], tab.shown,
        trigger_mode="always_last", concurrency_limit=None, **quiet,
    )  # fmt: skip
    gr.on(
        [tab.model.change, tab.recipe.change, tab.steps.release, tab.styles.change],
        for_people(actions.options), [tab.model, tab.recipe, tab.steps, tab.styles, tab.width, tab.height], tab.dependent, **quiet,
    )  # fmt: skip
    uplink.restore(actions.restore, uplink, tab.request, **quiet)
    blocks.load(actions.first, tab.request, tab.shown, **quiet)
