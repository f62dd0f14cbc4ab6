"""Values of the compare tab's axes as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from hypersd_app.errors import InvalidRequest
from hypersd_app.ui.compare.grid import listed, make_grid
from tests.support.fake_engine import FakeEngine

HEAD: dict[str, Any] = {"prompt": "a cat", "model": "pocket", "seed": 7, "num_inference_steps": 1, "styles": []}


@pytest.mark.parametrize("typed", ["1, 2, 4", "1 2 4", "1; 2; 4", "1, 2 and 4", "1,2,4"])
def test_numbers_are_listed_as_people_list_them(typed: str) -> None:
    grid = make_grid(FakeEngine(), HEAD, {"x": "steps", "xs": [typed]})
    assert [cell.values["num_inference_steps"] for cell in grid.cells] == [1, 2, 4]


def test_a_prompt_is_never_split() -> None:
    grid = make_grid(FakeEngine(), HEAD, {"x": "prompt", "xs": ["a cat, a dog and a hat"]})
    assert [cell.values["prompt"] for cell in grid.cells] == ["a cat, a dog and a hat"]
    assert listed("steps", ["1", "2, 3"]) == ["1", "2, 3"], "what is separated already stays"


def test_titles_are_understood_in_any_case() -> None:
    grid = make_grid(FakeEngine(), HEAD, {"x": "style", "xs": ["None, INK and clay:0.5"]})
    assert [[(row["name"], row["weight"]) for row in cell.values["styles"]] for cell in grid.cells] == [
        [], [("ink", 1.0)], [("clay", 0.5)],
    ]  # fmt: skip
    recipes = make_grid(FakeEngine(), HEAD, {"x": "recipe", "xs": ["base MODEL"], "y": "recipe", "ys": ["Few steps, 1-8"]})
    assert recipes.columns == ("Base model",) and recipes.rows == ("Few steps, 1-8",)


def test_what_is_no_value_is_told() -> None:
    with pytest.raises(InvalidRequest, match="num_inference_steps"):
        make_grid(FakeEngine(), HEAD, {"x": "steps", "xs": ["many, more"]})
