"""How the page's scripts, styles and markup reach the browser: no build step, no request to elsewhere.

The scripts are the ES modules of `static/`. The server hands each out under a path that holds a hash of them all
(`studio/static/<version>/board/paper.js`): a browser may keep it for ever, and never mixes modules of two versions. Gradio's
components take them over by `import()` of `main.js`; nothing is kept in a global and no order by hand.
"""

from __future__ import annotations

import functools
import hashlib
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hypersd_app.ui.i18n.texts import text

STATIC = Path(__file__).resolve().parents[1] / "static"
STATIC_PATH = "studio/static"  # relative to the page, which may lie below a reverse proxy's path
MAIN = "main.js"
FOR_EVER = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}


@dataclass(frozen=True)
class Modules:
    """The page's ES modules as they were when first asked for."""

    sources: Mapping[str, bytes]
    version: str

    def address(self, name: str = MAIN) -> str:
        """Address of a module, relative to the page."""
        return f"{STATIC_PATH}/{self.version}/{name}"


@functools.cache
def modules() -> Modules:
    """Read once per process, so that the page and what is served for it stay of one version."""
    paths = sorted(STATIC.rglob("*.js"))
    sources = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in paths}
    digest = hashlib.sha256()
    for name, source in sources.items():
        digest.update(f"{name}\0{len(source)}\0".encode() + source)
    return Modules(sources, digest.hexdigest()[:16])


def module_route() -> Route:
    """The route that serves the modules. Another version than this process's is not found, and that is not kept."""

    async def module(request: Request) -> Response:
        source = modules().sources.get(request.path_params["name"])
        if source is None or request.path_params["version"] != modules().version:
            return Response(status_code=404, headers={"cache-control": "no-store"})
        return Response(source, media_type="text/javascript", headers=FOR_EVER)

    return Route(f"/{STATIC_PATH}/{{version}}/{{name:path}}", module)


def head() -> str:
    """What goes into the page's head: the main module, and all others announced, so that they load at once."""
    others = (name for name in modules().sources if name != MAIN)
    links = "".join(f'<link rel="modulepreload" href="{modules().address(name)}">' for name in others)
    return f'<meta name="color-scheme" content="light dark">{links}<script type="module" src="{modules().address()}"></script>'


def css() -> str:
    """The page's style sheet."""
    return (STATIC / "studio.css").read_text(encoding="utf-8")


def markup(name: str) -> str:
    """A piece of HTML with `[[key]]` replaced by the text of that key."""
    source = (STATIC / name).read_text(encoding="utf-8")
    return re.sub(r"\[\[([\w.]+)\]\]", lambda found: html.escape(text(found[1])), source)


def imported() -> str:
    """JavaScript expression: a promise of the main module, from wherever Gradio evaluates it."""
    return f'import(new URL("{modules().address()}", document.baseURI))'


def mount(function: str, arguments: str = "element, props, trigger, server") -> str:
    """Script for `js_on_load` that hands the component to a function of the main module."""
    return f"{imported()}.then((studio) => studio.{function}({arguments}));"


def on_value(function: str) -> str:
    """Script for `js_on_load` that hands every new value of the component to a function of the main module."""
    return f'watch("value", () => {{ const {{ value }} = props; {imported()}.then((studio) => studio.{function}(value)); }});'
