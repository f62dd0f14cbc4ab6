"""Tab "Compare": a labelled grid of images over one or two parameters. Its behaviour is in `static/compare/`."""

from __future__ import annotations

import gradio as gr

from hypersd_app.ui.shell.scripts import markup, mount


def add_compare() -> None:
    """Add the tab's content to the tab being built."""
    gr.HTML(
        value="",
        html_template=markup("compare.html"),
        js_on_load=mount("mountCompare"),
        apply_default_css=False,
        elem_id="hs-compare",
    )
