"""The whole page: header, tabs, the bridge to the scripts and the named endpoints."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.service import BoardService
from hypersd_app.ui.api.endpoints import add_named_endpoints
from hypersd_app.ui.api.library import add_library_endpoints
from hypersd_app.ui.bridge import add_bridge
from hypersd_app.ui.handlers import Handlers
from hypersd_app.ui.i18n.texts import text
from hypersd_app.ui.page_config import page_config
from hypersd_app.ui.shell.checked_blocks import CheckedBlocks
from hypersd_app.ui.shell.scripts import markup, mount
from hypersd_app.ui.shell.visitors import named
from hypersd_app.ui.style_uploads import Library
from hypersd_app.ui.tabs.compare import add_compare
from hypersd_app.ui.tabs.drawing_board import add_drawing_board
from hypersd_app.ui.tabs.styles import add_catalogue, add_styles, connect_styles
from hypersd_app.ui.tabs.text_to_image import add_text_to_image
from hypersd_app.ui.tabs.timeline import add_timeline

CACHE_SECONDS = 6 * 3600


def build_page(
    engine: ImageEngine, service: BoardService, default_model: str, styles: Path | None = None, transport: str = "socket"
) -> gr.Blocks:
    """Build the Blocks of the app, not launched. `styles` is the folder of uploaded style files, None refuses uploads.

    `transport` is how the page's frames reach the server unless that fails: socket, call or event.
    """
    handlers = Handlers(engine, default_model, service.limits)
    library = Library(engine, styles)
    config = page_config(engine, default_model, transport)
    page: gr.Blocks
    with CheckedBlocks(title=text("app.title"), delete_cache=(CACHE_SECONDS, CACHE_SECONDS), analytics_enabled=False) as page:
        gr.HTML(value="", html_template=markup("header.html"), js_on_load=mount("mountHeader", "element"), apply_default_css=False)
        uplink = add_bridge(service, engine, config)
        renewed = add_catalogue()
        with gr.Tabs():
            with gr.Tab(text("tab.text"), id="text"):
                text_tab = add_text_to_image(handlers, uplink, page)
            with gr.Tab(text("tab.board"), id="board"):
                add_drawing_board()
            with gr.Tab(text("tab.styles"), id="styles"):
                styles_tab = add_styles(library, renewed, service.own_styles)
            with gr.Tab(text("tab.compare"), id="compare"):
                add_compare()
            with gr.Tab(text("tab.timeline"), id="timeline"):
                add_timeline()
        connect_styles(styles_tab, text_tab, library, page, service.own_styles)
        add_named_endpoints(handlers)
        add_library_endpoints(library, default_model)

        def left(request: gr.Request) -> None:
            session = named(request).name
            service.forget(session)  # results that are still being made for this page are not needed any more
            if service.own_styles is not None:
                service.own_styles.forget(session)

        page.unload(left)
    return page
