"""Tab "Styles": cards that show the visitor's own image in every style, and the upload of more styles."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.visitor_styles import VisitorStyles
from hypersd_app.ui.i18n.texts import counted, text
from hypersd_app.ui.page_config import catalogue, style_config
from hypersd_app.ui.shell.errors import for_people
from hypersd_app.ui.shell.scripts import imported, markup, mount, on_value
from hypersd_app.ui.shell.visitors import named
from hypersd_app.ui.style_uploads import Library, Report, told
from hypersd_app.ui.tabs.text_to_image import TextTab


@dataclass(frozen=True)
class StylesTab:
    """The tab's Gradio components; `file` is None where visitors may bring no styles."""

    rescan: gr.Button
    file: gr.File | None
    report: gr.HTML
    catalogue: gr.HTML
    key: gr.Textbox  # the page's, whose file it is


def add_catalogue() -> gr.HTML:
    """Add the invisible component that sends a new catalogue to the scripts; outside the tabs, which Gradio builds when opened."""
    return gr.HTML(
        value="", html_template="<span hidden></span>", elem_classes="hs-invisible",
        js_on_load=on_value("newCatalogue"),
    )  # fmt: skip


def add_styles(library: Library, renewed: gr.HTML, own: VisitorStyles | None = None) -> StylesTab:
    """Add the tab's content to the tab being built."""
    gr.HTML(
        value="",
        html_template=markup("styles.html"),
        js_on_load=mount("mountStyles"),
        apply_default_css=False,
        elem_id="hs-styles",
    )
    with gr.Row(elem_classes="hs-s-more", equal_height=True):
        rescan = gr.Button(text("styles.rescan"), scale=0, min_width=200, elem_id="hs-style-rescan")
        file = None
        if library.open or own is not None:
            file = gr.File(
                label=text("styles.file" if library.open else "styles.own"),
                file_types=[".safetensors"],
                type="filepath",
                height=150,
                elem_id="hs-style-file",
            )
    report = gr.HTML("", elem_id="hs-style-report", apply_default_css=False)
    return StylesTab(rescan, file, report, renewed, gr.Textbox(visible=False))


def connect_styles(
    tab: StylesTab, text_tab: TextTab, library: Library, blocks: gr.Blocks, own: VisitorStyles | None = None
) -> None:
    """Connect the tab's buttons, and send every new visitor the current catalogue, which may be newer than the page."""
    actions = StyleActions(library, text_tab)
    lists = [tab.catalogue, *actions.choosers]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    blocks.load(actions.renewed, [text_tab.model, text_tab.styles], lists, **quiet)
    tab.rescan.click(
        for_people(actions.look_again), [text_tab.model, text_tab.styles], [tab.report, *lists],
        concurrency_limit=1, concurrency_id="library", **quiet,
    )  # fmt: skip
    if tab.file is not None and own is not None and not library.open:
        bringing = Bringing(library.engine, own)
        tab.file.upload(
            for_people(bringing.take_in), [tab.file, tab.key], [tab.file, tab.report, tab.catalogue],
            js=f"async (file) => [file, (await {imported()}).visitorKey()]",
            concurrency_limit=1, concurrency_id="library", api_visibility="private", show_progress_on=tab.file,
        )  # fmt: skip
    elif tab.file is not None:
        tab.file.upload(
            for_people(actions.take_in), [tab.file, text_tab.model, text_tab.styles], [tab.file, tab.report, *lists],
            concurrency_limit=1, concurrency_id="library", api_visibility="private", show_progress_on=tab.file,
        )  # fmt: skip


class StyleActions:
    """Event handlers of the tab."""

    def __init__(self, library: Library, text_tab: TextTab) -> None:
        self._library = library
        self.choosers = [text_tab.model, text_tab.styles]

    def renewed(self, model: str, styles: list[str] | None) -> tuple[Any, ...]:
        """The catalogue for the page's scripts, and the text tab's lists."""
        engine = self._library.engine
        models = [(row.title, row.name) for row in engine.models()]
        chosen = model if model in dict(models).values() else models[0][1]
        choices = [(style.title, style.name) for style in engine.styles(chosen)]
        kept = [name for name in styles or () if name in dict(choices).values()]
        # An unchanged value is left out: setting it would count as a change and make the image again.
        new_model: dict[str, Any] = {} if chosen == model else {"value": chosen}
        new_styles: dict[str, Any] = {} if kept == (styles or []) else {"value": kept}
        return (
            json.dumps(catalogue(engine)),
            gr.update(choices=models, **new_model),
            gr.update(choices=choices, visible=bool(choices), **new_styles),
        )

    def look_again(self, model: str, styles: list[str] | None) -> tuple[Any, ...]:
        """Rescan the folders (the button)."""
        found = self._library.rescan()
        count = sum(len(names) for names in found["styles"].values())
        said = text("styles.rescanned").format(models=counted("models", len(found["models"])), styles=counted("styles", count))
        return f'<p class="hs-quiet" role="status">{html.escape(said)}</p>', *self.renewed(model, styles)

    def take_in(self, path: str, model: str, styles: list[str] | None) -> tuple[Any, ...]:
        """Add an uploaded file, clear the field and show the file's metadata."""
        report = self._library.add(Path(path))
        return None, report_html(report), *self.renewed(model, styles)


class Bringing:
    """Takes in the style file of a visitor, whose page alone is told of it."""

    def __init__(self, engine: ImageEngine, own: VisitorStyles) -> None:
        self._engine = engine
        self._own = own

    def take_in(self, path: str, key: str, request: gr.Request) -> tuple[Any, ...]:
        """Keep the file, and tell its page of it and those before. Raises HyperSDError."""
        file, visitor = Path(path), named(request)
        models = self._engine.models()
        try:
            style = self._own.add(key, file, models, session=visitor.name, address=visitor.address)
            report = Report(style, told(read_header(file)), file.stat().st_size)
        finally:
            file.unlink(missing_ok=True)  # Gradio would keep it for hours, and give it to who knows its address
        rows = [
            {"models": [row.name for row in models if row.family == each.family], "style": style_config(each)}
            for each in self._own.of(key)
        ]
        return None, report_html(report), json.dumps({**catalogue(self._engine), "own": rows})


def report_html(report: Report) -> str:
    """A style file's metadata as HTML, escaped: the file is not trusted."""
    style = report.style
    rows = {
        text("styles.report.model"): style.family,
        text("styles.report.trigger"): style.trigger or text("styles.notrigger"),
        text("styles.report.rank"): style.rank,
        text("styles.report.size"): f"{report.bytes / 1e6:.1f} MB",
        **({text("styles.report.unused"): " ".join(style.notes)} if style.notes else {}),
        **report.metadata,
    }
    lines = "".join(f"<tr><th scope='row'>{html.escape(str(k))}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows.items())
    title = html.escape(text("styles.added").format(title=style.title))
    return f'<div class="hs-report" role="status"><p><b>{title}</b></p><table>{lines}</table></div>'
