"""What the page's scripts are told of models and recipes."""

from __future__ import annotations

from hypersd_app.catalog.catalog import Catalog
from hypersd_app.settings import Settings
from hypersd_app.ui.page_config import _recipe


def test_a_resting_pen_gets_more_steps_where_they_help_and_the_recipe_has_them() -> None:
    catalog = Catalog(Settings())
    rows = {(model.name, recipe.name): _recipe(recipe)["restSteps"] for model in catalog.models() for recipe in model.recipes}
    assert rows["pocket", "unified"] == (1, 1, 8), "measured: more steps draw worse"
    assert rows["sd15", "unified"] == (1, 4, 8)
    assert rows["sd15", "2steps"] == (2, 2, 2)
    assert rows["sd15", "teacher"][1] == rows["sd15", "teacher"][0] >= 8
