"""Tab "Text to image": images from a prompt, made while it is typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from hypersd_app.requests import MAX_IMAGES, MAX_PROMPT_LENGTH, MAX_SEED, MAX_STYLES
from hypersd_app.ui.handlers import Handlers, any_seed
from hypersd_app.ui.i18n.texts import text
from hypersd_app.ui.page_config import model_choices, recipe_choices, recipe_row
from hypersd_app.ui.recipe_matching import model_of
from hypersd_app.ui.shell.errors import for_people
from hypersd_app.ui.shell.scripts import imported, markup, mount, on_value
from hypersd_app.ui.tabs.text_to_image_events import WEIGHTS, TextActions, size_slider

PROMPT_ATTRIBUTES = gr.InputHTMLAttributes(autocomplete="off", enterkeyhint="go")


@dataclass(frozen=True, kw_only=True)
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
    drawn: gr.State  # the request that is shown, None before the first

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
        return [self.gallery, self.status, self.outbox, self.drawn]


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
        js_on_load=on_value("collectImages"),
    )  # fmt: skip
    tab = TextTab(prompt=prompt, make=make, gallery=gallery, status=status, outbox=outbox, drawn=gr.State(None), **rest)
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
    # The first input is what the browser kept over a reload, in place of the uplink's value.
    remembered = f"async (_, ...values) => [(await {imported()}).remembered(), ...values]"
    # A restored recipe changes one field after another: an image is made only once all are set.
    unless_filling = f"async (live, ...values) => [live && !(await {imported()}).isFilling(), ...values]"
    filled = f"async (...values) => {{ (await {imported()}).filled(); return values; }}"
    for trigger in (tab.make.click, tab.prompt.submit):
        trigger(
            for_people(actions.make), [tab.lock, *tab.request], [*tab.shown, tab.seed],
            api_visibility="private", show_progress="minimal", show_progress_on=tab.status,
        )  # fmt: skip
    tab.dice.click(any_seed, None, tab.seed, **quiet)
    gr.on(
        [part.change for part in tab.request],
        actions.live, [tab.live, tab.drawn, *tab.request], tab.shown,
        js=unless_filling, trigger_mode="always_last", concurrency_limit=None, **quiet,
    )  # fmt: skip
    gr.on(
        [tab.model.change, tab.recipe.change, tab.steps.release, tab.styles.change],
        for_people(actions.options), [tab.model, tab.recipe, tab.steps, tab.styles, tab.width, tab.height], tab.dependent, **quiet,
    )  # fmt: skip
    restored = uplink.restore(for_people(actions.restore), uplink, tab.request, **quiet)
    restored.then(actions.live, [tab.live, tab.drawn, *tab.request], tab.shown, js=filled, **quiet)
    blocks.load(for_people(actions.first), [uplink, *tab.request], tab.shown, js=remembered, **quiet)
