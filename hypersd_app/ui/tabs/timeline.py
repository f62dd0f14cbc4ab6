"""Tab "Timeline": every picture of the session, ready to go on from; everything that moves is in `static/`."""

from __future__ import annotations

import gradio as gr

from hypersd_app.ui.scripts import markup, mount


def add_timeline() -> None:
    """Add the tab's content to the tab being built."""
    gr.HTML(
        value="",
        html_template=markup("timeline.html"),
        js_on_load=mount("mountTimeline"),
        apply_default_css=False,
        elem_id="hs-timeline",
    )
