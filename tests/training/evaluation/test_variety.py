"""The variance between images of one prompt counts what is drawn, not where it stands."""

import numpy as np
import pytest

from hypersd_app.training.evaluation.cases import EvaluationImages
from hypersd_app.training.evaluation.variety import VarietyCases, variance


def disc(x, y, radius, colour):
    yy, xx = np.mgrid[:128, :128]
    image = np.full((128, 128, 3), 255, np.uint8)
    image[(xx - x) ** 2 + (yy - y) ** 2 < radius**2] = colour
    return image


def test_place_and_size_do_not_count():
    moved = np.stack([disc(40, 40, 20, (200, 0, 0)), disc(70, 60, 35, (200, 0, 0)), disc(60, 80, 28, (200, 0, 0))])
    coloured = np.stack([disc(64, 64, 30, colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))])
    assert variance([moved]) < 0.05 * variance([coloured])


def test_groups_are_averaged():
    same = np.stack([disc(64, 64, 30, (0, 0, 0))] * 2)
    unlike = np.stack([disc(64, 64, 30, (0, 0, 0)), disc(64, 64, 30, (250, 250, 0))])
    assert variance([same]) == 0
    assert variance([same, unlike]) == pytest.approx(variance([unlike]) / 2)


def test_cases_show_one_thing_each_and_a_model_without_variety_has_none(judged):
    data = judged.data
    images = EvaluationImages(data, np.arange(len(data.scenes)))
    cases = VarietyCases.of(images, 0, prompts=3)
    for found in (cases.any_style, cases.one_style):
        for rows in found.values():
            shown = {data.scenes[index].placements[0].concept for index in rows}
            assert len(shown) == 1 and all(data.scenes[index].kind == "single" for index in rows)
    for prompt, rows in cases.one_style.items():
        assert len({data.scenes[index].set_key for index in rows}) == 1 and ", " in prompt
    asked = []

    def same_for_every_seed(prompts, seed):
        asked.extend(prompts)
        return np.stack([disc(64, 64, 30, (0, 90, 0))] * len(prompts))

    made = cases.made(same_for_every_seed, 0)
    assert len(asked) == 8 * (len(cases.any_style) + len(cases.one_style))
    assert all(value == 0 or np.isnan(value) for value in made)
