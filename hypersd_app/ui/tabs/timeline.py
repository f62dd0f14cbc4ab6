"""Tab "Timeline": every image of the session with its recipe. Its behaviour is in `static/timeline/`."""

from __future__ import annotations

import gradio as gr

from hypersd_app.ui.shell.scripts import markup, mount


def add_timeline() -> None:
    """Add the tab's content to the tab being built."""
    gr.HTML(
        value="",
        html_template=markup("timeline.html"),
        js_on_load=mount("mountTimeline"),
        apply_default_css=False,
        elem_id="hs-timeline",
    )
