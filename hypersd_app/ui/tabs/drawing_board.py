"""Tab "Drawing board": the live canvas. Its behaviour is in `static/board/`."""

from __future__ import annotations

import gradio as gr

from hypersd_app.ui.shell.scripts import mount


def add_drawing_board() -> None:
    """Add the board to the tab being built."""
    gr.HTML(
        value="",
        html_template='<div class="hs-slot"></div>',
        js_on_load=mount("mountBoard"),
        apply_default_css=False,
        elem_id="hs-board",
    )
