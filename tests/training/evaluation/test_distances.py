"""Distances between sets of images against closed forms, and what judges may see."""

import numpy as np
import pytest
import torch

from hypersd_app.training.data.splits import EVALUATION, JUDGE, REWARD, indices_of, splits
from hypersd_app.training.evaluation.colour import drift, white_border
from hypersd_app.training.evaluation.distances import (
    diversity,
    frechet,
    interval,
    kernel_distance,
    nearest,
    precision_recall,
    wilson,
)

RNG = np.random.default_rng(0)


def test_frechet_of_gaussians_is_the_closed_form():
    """|m|^2 + sum (s_a - s_b)^2 for independent directions; turning both the same way changes nothing."""
    a = RNG.standard_normal((200_000, 3)) * [1, 2, 3]
    b = RNG.standard_normal((200_000, 3)) * [1, 1, 5] + [2, 0, 0]
    expected = 4 + (2 - 1) ** 2 + (3 - 5) ** 2
    assert frechet(a, b) == pytest.approx(expected, rel=0.02)
    turn, _ = np.linalg.qr(RNG.standard_normal((3, 3)))
    assert frechet(a @ turn, b @ turn) == pytest.approx(frechet(a, b), rel=1e-6)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6) and frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-6)


def test_frechet_of_fewer_images_than_directions():
    assert np.isfinite(frechet(RNG.standard_normal((10, 50)), RNG.standard_normal((12, 50))))


def test_the_kernel_distance_is_unbiased_and_exact_on_points():
    a, b = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[2.0, 0.0], [0.0, 0.0]])
    within_a, within_b = (0 / 2 + 1) ** 3, (0 / 2 + 1) ** 3
    across = np.mean([(2 / 2 + 1) ** 3, 1, 1, 1])
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across)
    values = [kernel_distance(RNG.standard_normal((60, 4)), RNG.standard_normal((60, 4))) for _ in range(60)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 60**0.5
    assert kernel_distance(RNG.standard_normal((200, 4)), RNG.standard_normal((200, 4)) + 1) > 10 * np.std(values)


def test_precision_and_recall_see_what_is_missing_and_what_is_made_up():
    real = np.concatenate([RNG.standard_normal((200, 2)), RNG.standard_normal((200, 2)) + 20])
    half = RNG.standard_normal((200, 2))
    precision, recall = precision_recall(real, half)
    assert precision > 0.9 and 0.4 < recall < 0.6
    precision, recall = precision_recall(half, real)
    assert 0.4 < precision < 0.6 and recall > 0.9
    assert precision_recall(real, real + 1000) == (0, 0)


def test_diversity_is_the_mean_distance_within_prompts():
    groups = np.array([[[0.0, 0.0], [3.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]])
    assert diversity(groups) == pytest.approx((5 + 0) / 2)


def test_nearest_and_intervals():
    places, distances = nearest(np.array([[0.0, 0.0], [9.0, 9.0]]), np.array([[10.0, 9.0], [0.0, 2.0]]), chunk=1)
    assert places.tolist() == [1, 0] and distances.tolist() == [2, 1]
    share, low, high = wilson(np.array([True] * 90 + [False] * 10))
    assert share == 0.9 and low == pytest.approx(0.8256, abs=1e-3) and high == pytest.approx(0.9448, abs=1e-3)
    mean, half = interval([1.0, 2.0, 3.0])
    assert mean == 2 and half == pytest.approx(4.303 / 3**0.5)
    assert interval([1.0])[1] == float("inf")


def test_drift_by_hand():
    teacher = torch.randn(50, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    white = np.full((2, 32, 32, 3), 255, np.uint8)
    found = drift(teacher * 2 + torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), white - 20, teacher, white)
    assert found.mean == pytest.approx(0.5**0.5, abs=0.05) and found.spread == pytest.approx(2, rel=1e-3)
    assert found.brightness == -20 and found.white == 0
    inked = white.copy()
    inked[:, 10:20, 10:20] = 0
    assert white_border(inked) == 1
    inked[:, :, 0] = 0  # a column of the 32: of the 448 outermost pixels 32
    assert white_border(inked) == pytest.approx(1 - 32 / 448)


class Scenes:
    """Just what the splits look at."""

    def __init__(self, scenes):
        self.scenes = scenes


def test_nobody_sees_another_s_images():
    from hypersd_app.training.data.scenes import Placement, Scene

    def single(icon, held_out=False):
        return Scene("single", "noto", (Placement(icon, 0, x=0.5, y=0.5, size=0.8),), held_out=held_out)

    def colour(icon, colour, held_out):
        return Scene("colour", "noto", (Placement(icon, 0, x=0.5, y=0.5, size=0.8, colour=colour),), colour, held_out)

    views = [single(f"icon{number}", number < 5) for number in range(60) for _ in range(3)]
    painted = [colour(f"icon{n}", c, n % 10 == 0) for n in range(60) for c in ("red", "blue", "green") for _ in range(2)]
    data = Scenes([*views, *painted])
    found = splits(data)
    assert found[:180].reshape(60, 3).tolist() == [[REWARD, JUDGE, EVALUATION]] * 60
    painted_splits = found[180:].reshape(180, 2)
    assert (painted_splits[:, 0] == painted_splits[:, 1]).all(), "two renderings of one composition stay on one side"
    assert set(painted_splits[:, 0]) == {REWARD, JUDGE, EVALUATION}
    for number in range(60):
        is_kept = painted_splits[3 * number : 3 * number + 3, 0] == EVALUATION
        assert is_kept.all() if number % 10 == 0 else not is_kept.any()
    shared = [set(indices_of(data, split)) for split in (REWARD, JUDGE, EVALUATION)]
    assert not shared[0] & shared[1] and not shared[1] & shared[2] and not shared[0] & shared[2]
    assert not any(data.scenes[index].held_out for index in shared[0]), "rewards know nothing held out from the student"
    assert any(data.scenes[index].held_out for index in shared[1]), "the judge does"


def test_small_sets_deal_their_drawings():
    from hypersd_app.training.data.scenes import Placement, Scene

    data = Scenes([Scene("single", "noto", (Placement(f"icon{n}", 0, x=0.5, y=0.5, size=0.8),)) for n in range(60)])
    assert set(splits(data)) == {REWARD, JUDGE, EVALUATION}
