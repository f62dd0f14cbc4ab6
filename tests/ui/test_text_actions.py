"""The text tab's handlers, without a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from hypersd_app.errors import DeviceOutOfMemory, InvalidRequest
from hypersd_app.server.limits import BoardLimits
from hypersd_app.ui.handlers import Handlers
from hypersd_app.ui.text_to_image import NAMES, TextActions
from hypersd_app.ui.texts import LANGUAGES, text
from tests.fake_engine import FakeEngine

USUAL: dict[str, Any] = {
    "prompt": "a cat", "num_inference_steps": 1, "num_images": 1, "seed": 4, "model": "pocket", "recipe": "unified",
    "negative_prompt": "grey", "eta": 0.5, "guidance_scale": 4.0, "styles": [], "style_weight": 1.0,
}  # fmt: skip


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def actions(engine: FakeEngine) -> TextActions:
    return TextActions(Handlers(engine, "pocket", BoardLimits()))


def values(**changes: Any) -> list[Any]:
    return [{**USUAL, **changes}[name] for name in NAMES]


def test_what_means_nothing_is_left_out(actions: TextActions, engine: FakeEngine) -> None:
    actions.live(True, *values())
    actions.live(True, *values(num_inference_steps=4))
    actions.live(True, *values(num_inference_steps=20, recipe="teacher"))
    one, four, teacher = engine.requests
    assert (one.eta, one.guidance_scale, one.negative_prompt) == (None, None, "")
    assert (four.eta, four.guidance_scale, four.negative_prompt) == (0.5, None, "")
    assert (teacher.eta, teacher.guidance_scale, teacher.negative_prompt) == (None, 4.0, "grey")


def test_the_button_throws_a_new_seed_unless_it_is_kept(actions: TextActions, engine: FakeEngine) -> None:
    assert actions.make(True, *values())[-1] == 4
    seeds = {actions.make(False, *values())[-1] for _ in range(5)}
    assert len(seeds) == 5
    assert {request.seed for request in engine.requests} == seeds | {4}


def test_live_tells_errors_without_raising_and_asks_nothing_when_off(actions: TextActions, engine: FakeEngine) -> None:
    assert actions.live(True, *values(prompt=" "))[1] == text("text.status.empty")
    engine.failure = DeviceOutOfMemory("The device is full.")
    assert actions.live(True, *values())[1] == "The device is full."
    asked = len(engine.requests)
    actions.live(False, *values())
    assert len(engine.requests) == asked


def test_the_button_raises_what_is_wrong(actions: TextActions) -> None:
    with pytest.raises(InvalidRequest, match="prompt"):
        actions.make(True, *values(prompt=""))
    with pytest.raises(InvalidRequest, match="num_images"):
        actions.make(True, *values(num_images=9))


def test_only_the_options_of_the_recipe_are_shown(actions: TextActions) -> None:
    recipe, steps, negative, eta, guidance, styles, _weight = actions.options("pocket", "unified", 1, ["ink", "gone"])
    assert (recipe["value"], steps["maximum"]) == ("unified", 8)
    assert [part["visible"] for part in (negative, eta, guidance)] == [False, False, False]
    assert styles["value"] == ["ink"]
    assert actions.options("pocket", "unified", 2, [])[3]["visible"], "eta acts from two steps on"
    recipe, steps, negative, eta, guidance, styles, _weight = actions.options("large", "teacher", 1, ["ink"])
    assert (steps["minimum"], steps["value"]) == (8, 8)
    assert [part["visible"] for part in (negative, eta, guidance, styles)] == [True, False, True, False]


def test_a_result_goes_to_the_timeline_picture_by_picture(actions: TextActions) -> None:
    outbox = json.loads(actions.live(True, *values(num_images=3, styles=["ink"], style_weight=0.5))[2])
    assert [frame["head"]["seed"] for frame in outbox] == [4, 5, 6]
    assert outbox[0]["head"]["styles"] == [{"name": "ink", "weight": 0.5}]


def test_every_language_has_only_known_texts() -> None:
    assert all(set(table) <= set(LANGUAGES["en"]) for table in LANGUAGES.values())
    with pytest.raises(KeyError):
        text("no.such.text")


def test_the_page_is_built_without_torch() -> None:
    script = "import sys, hypersd_app.ui.launch; sys.exit(bool({'torch', 'diffusers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
