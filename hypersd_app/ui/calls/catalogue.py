"""Calls of the page's scripts about models and styles: what came since the page was built, and what is too much to come with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.ui.calls.files import PageCall
from hypersd_app.ui.page_config import catalogue, scan_progress

MOST_DETAILS = 120  # styles in one call


def catalogue_calls(engine: ImageEngine) -> Mapping[str, PageCall]:
    """The calls by name, as `page_calls`."""

    def style_details(values: dict[str, Any], _nothing: bytes) -> dict[str, Any]:
        """Previews and frequent words of some styles."""
        wanted = {str(name) for name in list(values.get("names") or ())[:MOST_DETAILS]}
        rows = [row for row in engine.styles(str(values.get("model"))) if row.name in wanted]
        return {"styles": {row.name: {"preview": row.preview, "tags": list(row.tags)} for row in rows}}

    def renewed(_values: dict[str, Any], _nothing: bytes) -> dict[str, Any]:
        """The catalogue as it is by now."""
        return catalogue(engine)

    def scan(_values: dict[str, Any], _nothing: bytes) -> dict[str, Any]:
        """How many of the style files are read, and how many there are."""
        return {"scan": scan_progress(engine)}

    return {call.__name__: call for call in (style_details, renewed, scan)}
