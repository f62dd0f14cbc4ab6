"""Tab "Styles": cards that show the visitor's own picture in every style; everything that moves is in `static/`."""

from __future__ import annotations

import gradio as gr

from hypersd_app.ui.scripts import markup, mount


def add_styles() -> None:
    """Add the tab's content to the tab being built."""
    gr.HTML(
        value="",
        html_template=markup("styles.html"),
        js_on_load=mount("mountStyles"),
        apply_default_css=False,
        elem_id="hs-styles",
    )
