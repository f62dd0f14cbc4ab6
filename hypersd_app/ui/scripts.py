"""The page's own scripts, styles and markup, read from `static/` and joined: no build step, no request to elsewhere."""

from __future__ import annotations

import html
import re
from pathlib import Path

from hypersd_app.ui.i18n.texts import text

STATIC = Path(__file__).resolve().parent / "static"
SCRIPTS = (
    "wire.js",
    "store.js",
    "bridge.js",
    "visit.js",
    "text_page.js",
    "timeline.js",
    "recipes.js",
    "files.js",
    "transports.js",
    "socket.js",
    "fallbacks.js",
    "link.js",
    "meter.js",
    "strokes.js",
    "png.js",
    "painter.js",
    "paper.js",
    "ring.js",
    "settings.js",
    "tools.js",
    "lines.js",
    "trace.js",
    "strip.js",
    "board.js",
    "films.js",
    "timeline_page.js",
    "styles_page.js",
    "compare.js",
    "compare_page.js",
)


def head() -> str:
    """What goes into the page's head: every script, in the order they need each other."""
    scripts = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return f'<meta name="color-scheme" content="light dark">\n<script>\n{scripts}\n</script>'


def css() -> str:
    """The page's style sheet."""
    return (STATIC / "studio.css").read_text(encoding="utf-8")


def markup(name: str) -> str:
    """A piece of HTML with `[[key]]` replaced by the text of that key."""
    source = (STATIC / name).read_text(encoding="utf-8")
    return re.sub(r"\[\[([\w.]+)\]\]", lambda found: html.escape(text(found[1])), source)


def mount(function: str, arguments: str = "element, props, trigger, server") -> str:
    """Script for `js_on_load` that hands the component to `hypersd.<function>` once the page's scripts are there."""
    return (
        f"(function go() {{ if (window.hypersd && window.hypersd.{function}) "
        f"window.hypersd.{function}({arguments}); else setTimeout(go, 20); }})();"
    )
