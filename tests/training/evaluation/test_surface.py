"""Flat areas and crisp edges, on images whose flatness and edges are known."""

import cv2
import numpy as np
import pytest

from hypersd_app.training.evaluation.surface import Surface


def square(side=256, colour=(200, 40, 40)):
    image = np.full((side, side, 3), 255, np.uint8)
    image[60:200, 60:200] = colour
    return image


def test_noise_inside_is_not_flat_and_paper_does_not_count():
    clean = square()
    noisy = clean.copy()
    rng = np.random.default_rng(0)
    noisy[60:130, 60:200] = (noisy[60:130, 60:200] + rng.normal(0, 12, (70, 140, 3))).clip(0, 255)
    assert Surface.of(clean[None]).flat > 0.93
    assert Surface.of(noisy[None]).flat == pytest.approx(0.48, abs=0.05)
    assert np.isnan(Surface.of(np.full((1, 64, 64, 3), 255, np.uint8)).flat)


@pytest.mark.parametrize("sigma", [1.5, 3.0])
def test_the_width_of_a_blurred_edge_is_that_of_its_kernel(sigma):
    blurred = cv2.GaussianBlur(square(colour=(90, 90, 90)), (0, 0), sigma)
    assert Surface.of(blurred[None]).edge_width == pytest.approx(2.563 * sigma, rel=0.12)  # of a Gaussian's integral


def test_a_soft_image_has_wider_edges_than_a_rendered_one():
    rendered = square()
    soft = cv2.GaussianBlur(rendered, (0, 0), 2.5)
    assert Surface.of(soft[None]).edge_width > 2.5 * Surface.of(rendered[None]).edge_width
