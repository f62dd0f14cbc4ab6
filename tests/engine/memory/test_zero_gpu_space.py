"""The studio under the real package `spaces`, with a stub of its API and without a card."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.simulated_space import GRID, OTHER, POOR, RICH

pytest.importorskip("spaces")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("space")
    command = [sys.executable, "-m", "tests.support.simulated_space", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", timeout=800)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def test_models_are_on_the_device_when_the_page_is_launched(space: dict[str, Any]) -> None:
    assert space["status"] == {"device": "cuda", "precision": "bfloat16", "lent": True}
    assert space["resident"] >= 3
    assert space["at_launch"] == ["/startup-report"], "nobody's seconds were spent"
    assert not space["compiled"] and space["transport"] == "event"


def test_every_draw_is_charged_to_who_asked_for_it(space: dict[str, Any]) -> None:
    assert (space["drawn"][0], space["drawn"][2]) == ("1", "1")
    tokens = [row.get("token") for row in space["schedules"]]
    assert {RICH, OTHER, POOR} <= set(tokens)
    assert tokens.count(RICH) == tokens.count(OTHER) == 1, "one call a request, each with its own visitor's token"


def test_a_visitor_without_quota_is_told_and_harms_nobody(space: dict[str, Any]) -> None:
    assert "quota" in space["drawn"][1] and "Try again in 0:10:00" in space["drawn"][1]


def test_all_places_of_a_grid_share_one_call(space: dict[str, Any]) -> None:
    asked = [row for row in space["schedules"] if row.get("token") == GRID]
    assert space["compared"][0] == 6 and len(asked) == 1
    assert "quota" in space["compared"][1] and "would have taken" in space["compared"][1]
    assert len([row for row in space["schedules"] if row.get("token") == POOR]) == 2, "who gets no GPU does not ask once a place"


def test_all_threads_draw_and_give_back(space: dict[str, Any]) -> None:
    assert space["images"] == [1, 1]
    assert space["released"] == len([row for row in space["schedules"] if row.get("token") != POOR])


def test_seconds_are_asked_for_by_the_recipe(space: dict[str, Any]) -> None:
    seconds = [int(row["durationSeconds"]) for row in space["schedules"]]
    assert all(5 <= value <= 60 for value in seconds)
