"""Tab "Text to image": pictures from words, while they are typed."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from hypersd_app.engine.metadata import request_of
from hypersd_app.engine.requests import MAX_IMAGES, MAX_PROMPT_LENGTH, MAX_SEED, MAX_STYLES, GenerationResult
from hypersd_app.errors import HyperSDError
from hypersd_app.server.board_requests import recipe_values, whole
from hypersd_app.server.pictures import encode_jpeg
from hypersd_app.ui.choices import model_choices, recipe_choices, recipe_row
from hypersd_app.ui.errors import for_people
from hypersd_app.ui.handlers import Handlers, any_seed, pictures
from hypersd_app.ui.texts import text

IDEAS = (
    "a red apple",
    "a blue car",
    "a cat with sunglasses",
    "a rocket and the moon",
    "two green frogs",
    "a house in the snow",
)
NAMES = (
    "prompt", "num_inference_steps", "num_images", "seed", "model", "recipe",
    "negative_prompt", "eta", "guidance_scale", "styles", "style_weight",
)  # fmt: skip
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
    styles: gr.Dropdown
    style_weight: gr.Slider
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
            self.negative, self.eta, self.guidance, self.styles, self.style_weight,
        ]  # fmt: skip

    @property
    def shown(self) -> list[Any]:
        """Components that show a result."""
        return [self.gallery, self.status, self.outbox]


class TextActions:
    """What the tab's events do. Results come as (gallery, status, outbox)."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def make(self, keep_seed: bool, *values: Any, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008 - Gradio's way
        """The button: a new seed unless it is kept. Returns a result and the seed."""
        collected = self.collect(*values)
        if not keep_seed:
            collected["seed"] = any_seed()
        result = self._handlers.from_values(collected, lambda share, note: progress(share, desc=note))
        return *shown(result), int(result.request.seed)

    def again(self, *values: Any) -> tuple[Any, ...]:
        """The dice: the same with the seed just thrown."""
        return shown(self._handlers.from_values(self.collect(*values)))

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
        weight = found.pop("style_weight")
        steps = whole("num_inference_steps", found["num_inference_steps"])
        return {
            **found,
            "prompt": found["prompt"] or "",
            "recipe": row.name,
            "negative_prompt": found["negative_prompt"] if row.negative_prompt else "",
            "eta": found["eta"] if row.eta_matters(steps) else None,
            "guidance_scale": found["guidance_scale"] if row.uses_guidance else None,
            "styles": [{"name": name, "weight": weight} for name in found["styles"] or ()],
        }

    def options(self, model: str, recipe: str, steps: float, styles: list[str] | None) -> tuple[Any, ...]:
        """Show what means something. Returns updates of recipe, steps, negative, eta, guidance, styles, style weight."""
        engine = self._handlers.engine
        row = recipe_row(engine, model, recipe)
        low, high = row.steps[0], row.steps[-1]
        chosen = min(max(int(steps), low), high)
        guided = row.guidance or (1.0, 1.0, 2.0)
        noisy = row.eta or (0.0, 0.0, 1.0)
        choices = [(style.title, style.name) for style in engine.styles(model)]
        kept = [name for name in styles or () if name in {choice[1] for choice in choices}]
        return (
            gr.update(choices=recipe_choices(engine, model), value=row.name),
            gr.update(minimum=low, maximum=max(high, low + 1), value=chosen, interactive=high > low),
            gr.update(visible=row.negative_prompt),
            gr.update(visible=row.eta_matters(chosen), minimum=noisy[0], maximum=noisy[2]),
            gr.update(visible=row.uses_guidance, minimum=guided[0], maximum=guided[2]),
            gr.update(choices=choices, value=kept, visible=bool(choices)),
            gr.update(visible=bool(choices)),
        )

    def restore(self, message: str) -> tuple[Any, ...]:
        """Values for the components of `TextTab.request`, from a recipe the page's scripts hand over."""
        values = json.loads(message)
        styles = [style["name"] for style in values.get("styles") or ()]
        weights = [style["weight"] for style in values.get("styles") or ()]
        return (
            values["prompt"], values["num_inference_steps"], 1, values["seed"], values["model"], values.get("recipe") or "",
            values.get("negative_prompt") or "", kept_or(values.get("eta")), kept_or(values.get("guidance_scale")),
            styles, weights[0] if weights else 1.0,
        )  # fmt: skip


def kept_or(value: object) -> Any:
    """A value, or what the component has now."""
    return gr.skip() if value is None else value


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


def add_text_to_image(handlers: Handlers, uplink: gr.HTML, blocks: gr.Blocks) -> None:
    """Build the tab inside the Blocks being built and connect it; `uplink` says "restore" when a recipe comes back."""
    with gr.Row(elem_classes="hs-t2i-bar", equal_height=True):
        prompt = gr.Textbox(
            text("text.first_prompt"), show_label=False, placeholder=text("text.prompt.placeholder"), container=False,
            max_length=MAX_PROMPT_LENGTH, scale=6, autofocus=True, elem_id="hs-text-prompt", html_attributes=PROMPT_ATTRIBUTES,
        )  # fmt: skip
        make = gr.Button(text("text.make"), variant="primary", scale=0, min_width=150, elem_id="hs-text-make")
    with gr.Row(elem_classes="hs-t2i-main"):
        with gr.Column(scale=3, min_width=300):
            gallery = gr.Gallery(
                label=text("text.gallery"), show_label=False, columns=1, object_fit="contain", height="auto",
                format="png", elem_id="hs-text-gallery", buttons=["download", "fullscreen"],
            )  # fmt: skip
            status = gr.Markdown(text("text.status.idle"), elem_classes="hs-t2i-status", elem_id="hs-text-status")
        with gr.Column(scale=2, min_width=280, elem_classes="hs-t2i-controls"):
            rest = _controls(handlers)
    gr.Examples([[idea] for idea in IDEAS], [prompt], label=text("text.examples"), api_visibility="private")
    outbox = gr.HTML(
        value="", html_template="<span hidden></span>", elem_classes="hs-invisible",
        js_on_load='watch("value", () => window.hypersd.collect(props.value));',
    )  # fmt: skip
    tab = TextTab(prompt=prompt, make=make, gallery=gallery, status=status, outbox=outbox, **rest)
    _connect(tab, TextActions(handlers), uplink, blocks)


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
    made["style_weight"] = gr.Slider(-1, 2, 1, step=0.05, label=text("styles.weight"), visible=bool(styles), buttons=[])
    with gr.Accordion(text("text.more"), open=False):
        made["model"] = gr.Dropdown(model_choices(engine), value=model, label=text("text.model"), elem_id="hs-text-model")
        made["recipe"] = gr.Dropdown(recipe_choices(engine, model), value=row.name, label=text("text.recipe"))
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
    gr.on(
        [tab.prompt.change, tab.steps.change, tab.seed.change, tab.styles.change, tab.style_weight.change],
        actions.live, [tab.live, *tab.request], tab.shown,
        trigger_mode="always_last", concurrency_limit=None, **quiet,
    )  # fmt: skip
    gr.on(
        [tab.model.change, tab.recipe.change, tab.steps.release],
        for_people(actions.options), [tab.model, tab.recipe, tab.steps, tab.styles],
        [tab.recipe, tab.steps, tab.negative, tab.eta, tab.guidance, tab.styles, tab.style_weight], **quiet,
    )  # fmt: skip
    uplink.restore(actions.restore, uplink, tab.request, **quiet)
    blocks.load(actions.first, tab.request, tab.shown, **quiet)
