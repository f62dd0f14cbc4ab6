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
from hypersd_app.ui.text_to_image import DEPENDENT, NAMES, WEIGHTS, TextActions
from hypersd_app.ui.texts import LANGUAGES, text
from tests.fake_engine import FakeEngine

USUAL: dict[str, Any] = {
    "prompt": "a cat", "num_inference_steps": 1, "num_images": 1, "seed": 4, "model": "pocket", "recipe": "unified",
    "negative_prompt": "grey", "eta": 0.5, "guidance_scale": 4.0, "width": 512, "height": 512,
    "styles": [], **dict.fromkeys(WEIGHTS, 1.0),
}  # fmt: skip


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def actions(engine: FakeEngine) -> TextActions:
    return TextActions(Handlers(engine, "pocket", BoardLimits()))


def made(actions: TextActions, keep_seed: bool, **changes: Any) -> list[tuple[Any, ...]]:
    return list(actions.make(keep_seed, *values(**changes)))


def options(actions: TextActions, model: str, recipe: str, steps: int, styles: list[str], size: int = 512) -> dict[str, Any]:
    found = actions.options(model, recipe, steps, styles, size, size)
    return dict(zip([*DEPENDENT, "triggers"], found, strict=True))


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
    assert made(actions, True)[-1][-1] == 4
    seeds = {made(actions, False)[-1][-1] for _ in range(5)}
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
        made(actions, True, prompt="")
    with pytest.raises(InvalidRequest, match="num_images"):
        made(actions, True, num_images=9)


def test_only_the_options_of_the_recipe_are_shown(actions: TextActions) -> None:
    optional = ("negative_prompt", "eta", "guidance_scale", "width", "styles")
    found = options(actions, "pocket", "unified", 1, ["ink", "gone"])
    assert (found["recipe"]["value"], found["num_inference_steps"]["maximum"]) == ("unified", 8)
    assert [found[name]["visible"] for name in optional] == [False, False, False, False, True]
    assert found["styles"]["value"] == ["ink"]
    assert options(actions, "pocket", "unified", 2, [])["eta"]["visible"], "eta acts from two steps on"
    found = options(actions, "large", "teacher", 1, ["ink"])
    assert (found["num_inference_steps"]["minimum"], found["num_inference_steps"]["value"]) == (8, 8)
    assert [found[name]["visible"] for name in optional] == [True, False, True, True, False]


def test_each_chosen_style_has_its_own_weight_and_tells_its_words(actions: TextActions, engine: FakeEngine) -> None:
    found = options(actions, "pocket", "unified", 1, ["clay", "ink"])
    shown = [(found[name]["visible"], found[name]["label"]) for name in WEIGHTS]
    assert shown[:3] == [(True, "Clay"), (True, "Ink"), (False, text("styles.weight"))]
    assert found["triggers"]["value"] == "Added to your words: ink style, clay style"
    actions.live(True, *values(styles=["clay", "ink"], weight_0=0.5, weight_1=1.5))
    assert [(style.name, style.weight) for style in engine.requests[-1].styles] == [("clay", 0.5), ("ink", 1.5)]


def test_sizes_are_sent_to_models_that_have_them(actions: TextActions, engine: FakeEngine) -> None:
    actions.live(True, *values(width=640))
    actions.live(True, *values(model="large", width=640))
    assert [(request.width, request.height) for request in engine.requests] == [(None, None), (640, 512)]
    assert options(actions, "large", "unified", 1, [], size=1000)["width"]["value"] == 1000
    assert options(actions, "large", "unified", 1, [], size=1001)["width"]["value"] == 512, "no size of this model"


def test_a_long_run_is_shown_on_its_way(actions: TextActions) -> None:
    steps = made(actions, True, model="large", recipe="teacher", num_inference_steps=10)
    assert len(steps) == 11
    assert steps[0][1] == "Step 1 of 10 · 10%"
    assert "value" in steps[4][0] and "value" not in steps[5][0], "half way there is a picture to show"
    assert steps[-1][-1] == 4
    assert len(made(actions, True)) == 1, "a short run has only a result"


def test_an_error_on_the_way_is_raised(actions: TextActions, engine: FakeEngine) -> None:
    engine.failure = DeviceOutOfMemory("The device is full.")
    with pytest.raises(DeviceOutOfMemory, match="full"):
        made(actions, True, model="large", recipe="teacher", num_inference_steps=10)


def test_a_restored_recipe_brings_its_ranges(actions: TextActions) -> None:
    head = {
        "prompt": "an owl", "model": "large", "recipe": "teacher", "num_inference_steps": 25, "seed": 9, "width": 640,
        "height": 512, "styles": [], "negative_prompt": "grey", "guidance_scale": 5.0, "eta": None,
    }  # fmt: skip
    found = dict(zip(NAMES, actions.restore(json.dumps(head)), strict=True))
    wanted = {"prompt": "an owl", "model": "large", "recipe": "teacher", "seed": 9, "width": 640, "guidance_scale": 5.0}
    assert {name: found[name]["value"] for name in wanted} == wanted
    steps = found["num_inference_steps"]
    assert (steps["minimum"], steps["value"], steps["maximum"]) == (8, 25, 50)
    assert "value" not in found["eta"], "what a recipe does not say stays as it is"


def test_a_result_goes_to_the_timeline_picture_by_picture(actions: TextActions) -> None:
    outbox = json.loads(actions.live(True, *values(num_images=3, styles=["ink"], weight_0=0.5))[2])
    assert [frame["head"]["seed"] for frame in outbox] == [4, 5, 6]
    assert outbox[0]["head"]["styles"] == [{"name": "ink", "weight": 0.5}]


def test_every_language_has_only_known_texts() -> None:
    assert all(set(table) <= set(LANGUAGES["en"]) for table in LANGUAGES.values())
    with pytest.raises(KeyError):
        text("no.such.text")


def test_the_page_is_built_without_torch() -> None:
    script = "import sys, hypersd_app.ui.launch; sys.exit(bool({'torch', 'diffusers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
