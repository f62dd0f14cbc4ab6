"""A browser that kept a drawing and settings of the first page opens this one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.board_page import BoardPage
from tests.support.studio import Served
from tests.test_older_versions import PAGE

pytestmark = pytest.mark.browser


def test_a_browser_that_was_there_before_goes_on_where_it_was(studio: Served, visitor: Callable[..., BoardPage]) -> None:
    board = visitor(studio.address)
    keep = f"for (const [key, value] of Object.entries({json.dumps(PAGE['storage'])})) localStorage.setItem(key, value);"
    board.page.add_init_script(f"if (!localStorage.length) {{ {keep} }}")
    board.open()
    board.settle()
    assert board.value("hypersd.board.drawing.visible") == PAGE["operations"]
    values = board.value("hypersd.board.settings.values")
    told = {name: values[name] for name in ("prompt", "steps", "restSteps", "scale", "seed", "negative", "model")}
    assert told == {
        "prompt": "an old boat", "steps": 2, "restSteps": 4, "scale": 0.8, "seed": 99, "negative": "grey", "model": "pocket",
    }  # fmt: skip
    assert values["styles"] == {"ink": 0.7}, "a style that is gone is not asked for"
    drawn = [request for request in studio.engine.requests if request.prompt == "an old boat"]
    assert drawn and drawn[-1].control is not None and board.errors == []
