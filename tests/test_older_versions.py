"""What an older version left opens in this one: images with recipes, settings of the environment."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from hypersd_app.images.metadata import read_request
from hypersd_app.requests import StyleWeight, request_from_json
from hypersd_app.server.http.png_recipes import read_recipe
from hypersd_app.server.http.wire import Message
from hypersd_app.server.scheduling.limits import BoardLimits, limits_of
from hypersd_app.server.service import lazy_request
from hypersd_app.settings import Settings, from_environment
from tests.support.told_request import REQUEST as TOLD

OLDER = Path(__file__).parent / "support" / "older"
PAGE: dict[str, Any] = json.loads((OLDER / "page.json").read_text(encoding="utf-8"))
REQUEST = replace(TOLD, prompt_grammar="plain")  # in which it was drawn; none was named then
# Of the first version, with a value that it took.
FIRST_SETTINGS = {
    "HOST": "0.0.0.0", "PORT": "7861", "SHARE": "0", "DEFAULT_MODEL": "sd15", "BACKEND": "torch", "DEVICE": "cpu",
    "ASSETS": "a", "RUNS": "r", "CACHE": "c", "MODELS": "m", "STYLES": "s", "MEMORY_GB": "4.5", "OFFLINE": "1",
}  # fmt: skip
FORMER_LIMITS = ("sessions_an_address=3", "jobs_a_visitor=2")


@pytest.mark.parametrize("name", ["first.png", "third.png"])
def test_an_image_carries_the_same_request_and_strokes(name: str) -> None:
    recipe = read_recipe((OLDER / name).read_bytes())
    assert request_from_json(recipe["head"]) == REQUEST
    assert recipe["operations"] == PAGE["operations"]
    assert read_request(OLDER / name) == REQUEST, "the command line reads it too"


def test_a_frame_of_an_older_page_is_drawn() -> None:
    lazy, request = lazy_request(Message(1, PAGE["recipe"]["head"], b""), BoardLimits())
    assert request.prompt == "an old boat" and request.styles == (StyleWeight("ink", 0.7),) and lazy.build() == request


def test_settings_of_the_first_version_are_heard() -> None:
    chosen = from_environment({f"HYPERSD_{name}": value for name, value in FIRST_SETTINGS.items()})
    changed = {item.name for item in fields(Settings) if getattr(chosen, item.name) != getattr(Settings(), item.name)}
    assert changed == {name.lower() for name in FIRST_SETTINGS} - {"share"}


@pytest.mark.parametrize("words", FORMER_LIMITS)
def test_limits_under_former_names_are_heard(words: str) -> None:
    assert limits_of(words) != BoardLimits()
