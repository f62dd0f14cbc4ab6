"""The text tab's handlers, without a browser."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from hypersd_app.errors import DeviceOutOfMemory, InvalidRequest
from hypersd_app.requests import StepReached
from hypersd_app.server.scheduling.limits import BoardLimits
from hypersd_app.settings import from_environment
from hypersd_app.ui.handlers import Handlers
from hypersd_app.ui.i18n.texts import ENGLISH, LANGUAGES, counted, text, use_language
from hypersd_app.ui.progress import note_text
from hypersd_app.ui.recipe_matching import with_known_names
from hypersd_app.ui.tabs.text_to_image_events import DEPENDENT, NAMES, WEIGHTS, TextActions
from tests.support.fake_engine import FakeEngine

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


def live(actions: TextActions, is_live: bool = True, drawn: Any = None, **changes: Any) -> tuple[Any, ...]:
    """What a change shows in the end."""
    return list(actions.live(is_live, drawn, *values(**changes)))[-1]


def made(actions: TextActions, keep_seed: bool, **changes: Any) -> list[tuple[Any, ...]]:
    return list(actions.make(keep_seed, *values(**changes)))


def options(actions: TextActions, model: str, recipe: str, steps: int, styles: list[str], size: int = 512) -> dict[str, Any]:
    found = actions.options(model, recipe, steps, styles, size, size)
    return dict(zip([*DEPENDENT, "triggers"], found, strict=True))


def values(**changes: Any) -> list[Any]:
    return [{**USUAL, **changes}[name] for name in NAMES]


def test_what_means_nothing_is_left_out(actions: TextActions, engine: FakeEngine) -> None:
    live(actions)
    live(actions, num_inference_steps=4)
    live(actions, num_inference_steps=20, recipe="teacher")
    live(actions, num_inference_steps=20, recipe="teacher", guidance_scale=1.0)
    one, four, teacher, unguided = engine.requests
    assert (one.eta, one.guidance_scale, one.negative_prompt) == (None, None, "")
    assert (four.eta, four.guidance_scale, four.negative_prompt) == (0.5, None, "")
    assert (teacher.eta, teacher.guidance_scale, teacher.negative_prompt) == (None, 4.0, "grey")
    assert (unguided.guidance_scale, unguided.negative_prompt) == (1.0, "")


def test_the_button_throws_a_new_seed_unless_it_is_kept(actions: TextActions, engine: FakeEngine) -> None:
    assert made(actions, True)[-1][-1] == 4
    seeds = {made(actions, False)[-1][-1] for _ in range(5)}
    assert len(seeds) == 5
    assert {request.seed for request in engine.requests} == seeds | {4}


def test_live_tells_errors_without_raising_and_asks_nothing_when_off(actions: TextActions, engine: FakeEngine) -> None:
    assert live(actions, prompt=" ")[1] == text("text.status.empty")
    engine.failure = DeviceOutOfMemory("The device is full.")
    assert live(actions)[1] == "The device is full."
    asked = len(engine.requests)
    live(actions, False)
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
    live(actions, styles=["clay", "ink"], weight_0=0.5, weight_1=1.5)
    assert [(style.name, style.weight) for style in engine.requests[-1].styles] == [("clay", 0.5), ("ink", 1.5)]


def test_sizes_are_sent_to_models_that_have_them(actions: TextActions, engine: FakeEngine) -> None:
    live(actions, width=640)
    live(actions, model="large", width=640)
    assert [(request.width, request.height) for request in engine.requests] == [(None, None), (640, 512)]
    assert options(actions, "large", "unified", 1, [], size=1000)["width"]["value"] == 1000
    assert options(actions, "large", "unified", 1, [], size=1001)["width"]["value"] == 512, "no size of this model"


def test_a_run_that_takes_long_is_shown_on_its_way(engine: FakeEngine) -> None:
    handlers = Handlers(engine, "pocket", BoardLimits())
    at_once = TextActions(handlers, patience=0.0)
    steps = made(at_once, True, model="large", recipe="teacher", num_inference_steps=10)
    assert len(steps) == 11
    assert steps[0][1] == "Step 1 of 10 · 10%"
    assert "value" in steps[4][0] and "value" not in steps[5][0], "half way there is an image to show"
    assert steps[-1][-1] == 4
    assert len(made(TextActions(handlers), True, num_inference_steps=8)) == 1, "a short run has only a result"


def test_it_is_time_that_counts_not_steps(engine: FakeEngine) -> None:
    seconds = itertools.count(step=0.5)  # between two looks at the clock
    actions = TextActions(Handlers(engine, "pocket", BoardLimits()), clock=lambda: next(seconds))
    told = [each[1] for each in made(actions, True, num_inference_steps=3)]
    assert told[0] == "Step 2 of 3 · 67%", "two slow steps are long enough"
    assert next(actions.live(True, None, *values(num_inference_steps=3)))[1] == told[0], "and typing sees it too"


def test_what_is_shown_is_not_drawn_again(actions: TextActions, engine: FakeEngine) -> None:
    drawn = live(actions, num_inference_steps=4)[-1]
    live(actions, True, drawn, num_inference_steps=4)
    assert len(engine.requests) == 1
    live(actions, True, drawn, num_inference_steps=4, num_images=2)
    assert engine.requests[-1].num_images == 2


def test_another_model_is_drawn_with_at_once(actions: TextActions, engine: FakeEngine) -> None:
    """Its recipe, steps and styles are still those of the one before."""
    live(actions, model="large", recipe="gone", num_inference_steps=20, styles=["ink"], width=256, guidance_scale=90.0)
    request = engine.requests[-1]
    assert (request.model, request.recipe, request.num_inference_steps, request.styles) == ("large", "unified", 8, ())
    live(actions, model="large", recipe="teacher", num_inference_steps=20, guidance_scale=90.0)
    assert engine.requests[-1].guidance_scale == 15.0


def test_an_error_on_the_way_is_raised(actions: TextActions, engine: FakeEngine) -> None:
    engine.failure = DeviceOutOfMemory("The device is full.")
    with pytest.raises(DeviceOutOfMemory, match="full"):
        made(actions, True, model="large", recipe="teacher", num_inference_steps=10)


def test_a_restored_recipe_brings_its_ranges(actions: TextActions, engine: FakeEngine) -> None:
    head = {
        "prompt": "an owl", "model": "large", "recipe": "teacher", "num_inference_steps": 25, "seed": 9, "width": 640,
        "height": 512, "styles": [], "negative_prompt": "grey", "guidance_scale": 5.0, "eta": None,
    }  # fmt: skip
    found = dict(zip(NAMES, actions.restore(json.dumps(head)), strict=True))
    wanted = {"prompt": "an owl", "model": "large", "recipe": "teacher", "seed": 9, "width": 640, "guidance_scale": 5.0}
    assert {name: found[name]["value"] for name in wanted} == wanted
    steps = found["num_inference_steps"]
    assert (steps["minimum"], steps["value"], steps["maximum"]) == (8, 25, 50)
    assert "value" not in found["eta"], "the recipe has none"
    found = dict(zip(NAMES, actions.restore(json.dumps({**head, "guidance_scale": None})), strict=True))
    assert found["guidance_scale"]["value"] == engine.recipes("large")[-1].guidance[1], "the usual one drew that image"


FOREIGN = {
    "prompt": "a castle", "model": "v1-5-pruned", "num_inference_steps": 20, "seed": 9, "guidance_scale": 7.0,
    "negative_prompt": "blurry", "width": 512, "height": 768,
    "styles": [{"name": "detail", "weight": 0.5}, {"name": "ink", "weight": 0.8}],
}  # fmt: skip


def test_a_recipe_of_another_program_takes_what_there_is_here(actions: TextActions, engine: FakeEngine) -> None:
    found = dict(zip(NAMES, actions.restore(json.dumps(FOREIGN)), strict=True))
    names = ("prompt", "model", "recipe", "num_inference_steps", "negative_prompt", "guidance_scale", "styles", "weight_0")
    assert [found[name]["value"] for name in names] == ["a castle", "pocket", "teacher", 20, "blurry", 7.0, ["ink"], 0.8]
    assert (found["width"]["value"], found["height"]["value"]) == (256, 256), "sliders refuse what is out of their range"
    values, missing = with_known_names(engine, "pocket", FOREIGN)
    assert missing == ["Model v1-5-pruned", "Style detail", "Width 512", "Height 768"]
    assert with_known_names(engine, "pocket", values) == (values, ["Width 512", "Height 768"])
    nameless = {name: value for name, value in FOREIGN.items() if name != "model"}
    assert with_known_names(engine, "pocket", nameless)[1][0] == "Style detail", "no model was asked for"


def test_files_that_are_called_otherwise_are_found_by_what_recipes_say_of_them(engine: FakeEngine) -> None:
    ink = next(style for style in engine.styles("pocket") if style.name == "ink")
    engine.styles = lambda _model: [replace(ink, aliases=("My_Ink_v2",), hashes=("0123abcd4567" + "0" * 52,))]  # type: ignore[method-assign]
    for said, hashes in ((" styles/my_ink_v2.safetensors", {}), ("else", {"styles": {"else": "0123ABCD45"}})):
        head = {"prompt": "a cat", "styles": [{"name": said.strip(), "weight": 0.5}], "hashes": hashes}
        values, missing = with_known_names(engine, "pocket", head)
        assert values["styles"] == [{"name": "ink", "weight": 0.5}] and not missing
    for hashes in (
        {},
        [],
        {"styles": 3},
        {"styles": {"else": 5}},
        {"styles": {"else": "0123"}},
        {"styles": {"else": "0123abcd99"}},
    ):
        head = {"prompt": "a cat", "styles": [{"name": "else", "weight": 0.5}], "hashes": hashes}
        assert with_known_names(engine, "pocket", head)[1] == ["Style else"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"num_inference_steps": 33}, "Steps 33"),
        ({"guidance_scale": 30}, "Guidance scale 30"),
        ({"negative_prompt": "blurry"}, "Not in the image"),
    ],
)
def test_values_that_a_recipe_here_cannot_have_are_told(engine: FakeEngine, values: dict[str, object], told: str) -> None:
    assert told in with_known_names(engine, "pocket", {"prompt": "a cat", "recipe": "unified", **values})[1]


@pytest.mark.parametrize("message", ["", "[1]", "{", '{"styles": ["ink"]}', '{"model": 1}', '{"num_inference_steps": "x"}'])
def test_what_is_no_recipe_is_named(actions: TextActions, message: str) -> None:
    with pytest.raises(InvalidRequest):
        actions.restore(message)


def test_the_image_of_before_a_reload_is_the_first(actions: TextActions, engine: FakeEngine) -> None:
    list(actions.first("", *values()))
    remembered = json.loads(live(actions, prompt="an owl", num_inference_steps=4, styles=["ink"], weight_0=0.5)[2])[0]["head"]
    list(actions.first(json.dumps(remembered), *values()))
    assert [request.prompt for request in engine.requests] == ["a cat", "an owl", "an owl"]
    assert engine.requests[1] == engine.requests[2]


def test_a_result_goes_to_the_timeline_image_by_image(actions: TextActions) -> None:
    outbox = json.loads(live(actions, num_images=3, styles=["ink"], weight_0=0.5)[2])
    assert [frame["head"]["seed"] for frame in outbox] == [4, 5, 6]
    assert outbox[0]["head"]["styles"] == [{"name": "ink", "weight": 0.5}]


def test_every_language_has_only_known_texts_and_their_places() -> None:
    places = re.compile(r"\{\w+")
    for table in LANGUAGES.values():
        assert set(table) <= set(ENGLISH)
        assert {key: places.findall(words) for key, words in table.items()} == {key: places.findall(ENGLISH[key]) for key in table}
    with pytest.raises(KeyError):
        text("no.such.text")


def test_german_lacks_nothing_but_what_the_models_read() -> None:
    same = {"app.title", "text.first_prompt", "text.ideas", "styles.rescanned"}
    assert set(ENGLISH) - set(LANGUAGES["de"]) == same


def test_a_language_is_chosen() -> None:
    with pytest.raises(InvalidRequest, match="language"):
        use_language("tlh")
    use_language("de")
    try:
        assert (counted("images", 1), counted("images", 3)) == ("1 Bild", "3 Bilder")
        assert note_text(StepReached(3, 8)) == "Schritt 3 von 8" and note_text("Downloading x") == "Downloading x"
    finally:
        use_language("en")
    assert from_environment({"HYPERSD_LANGUAGE": "de"}).language == "de"


def test_the_page_is_built_without_torch() -> None:
    script = "import sys, hypersd_app.ui.app; sys.exit(bool({'torch', 'diffusers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
