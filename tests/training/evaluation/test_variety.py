"""The variance between images of one prompt counts what is drawn, not where it stands."""

import numpy as np
import pytest

from hypersd_app.training.evaluation.variety import variance


def disc(x, y, radius, colour):
    yy, xx = np.mgrid[:128, :128]
    picture = np.full((128, 128, 3), 255, np.uint8)
    picture[(xx - x) ** 2 + (yy - y) ** 2 < radius**2] = colour
    return picture


def test_place_and_size_do_not_count():
    moved = np.stack([disc(40, 40, 20, (200, 0, 0)), disc(70, 60, 35, (200, 0, 0)), disc(60, 80, 28, (200, 0, 0))])
    coloured = np.stack([disc(64, 64, 30, colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))])
    assert variance([moved]) < 0.05 * variance([coloured])


def test_groups_are_averaged():
    same = np.stack([disc(64, 64, 30, (0, 0, 0))] * 2)
    unlike = np.stack([disc(64, 64, 30, (0, 0, 0)), disc(64, 64, 30, (250, 250, 0))])
    assert variance([same]) == 0
    assert variance([same, unlike]) == pytest.approx(variance([unlike]) / 2)
