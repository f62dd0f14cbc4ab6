"""An image and its drawing take another shape together, whole, on the page, and another one each time."""

import cv2
import numpy as np
import pytest

from hypersd_app.training.critics import text_image as judge
from hypersd_app.training.data import splits
from hypersd_app.training.data.augment import bent
from hypersd_app.training.data.scribbles import silhouette


@pytest.fixture
def key():
    """A thing with two ends, and the drawing of its outline in blue."""
    image = np.full((256, 256, 3), 255, np.uint8)
    cv2.circle(image, (90, 90), 40, (230, 170, 20), -1)
    cv2.rectangle(image, (110, 110), (190, 130), (120, 60, 10), -1)
    outlines, _ = cv2.findContours((silhouette(image, 40) > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    control = np.zeros_like(image)
    cv2.drawContours(control, outlines, -1, (60, 120, 255), 3)
    return image, control


def test_strokes_stay_where_edges_are(key):
    for seed in range(10):
        image, control = bent(*key, np.random.default_rng(seed))
        inside = (silhouette(image, 40) > 0).astype(np.uint8)
        edge = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        near = cv2.dilate((control.max(-1) > 60).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert near[edge].mean() > 0.98
        ink = control[control.max(-1) > 200]
        assert len(ink) and (np.abs(ink.astype(int) - (60, 120, 255)) < 60).all(), "ink keeps its colour"


def test_all_of_a_thing_stays_on_the_page_about_as_large(key):
    for seed in range(10):
        image, control = bent(*key, np.random.default_rng(seed))
        assert image.shape == control.shape == (256, 256, 3) and image.dtype == control.dtype == np.uint8
        _, _, width, height = cv2.boundingRect((control.max(-1) > 60).astype(np.uint8))
        assert 0.7 * 140 < max(width, height) < 1.35 * 143
        assert {tuple(np.round(colour / 60).astype(int)) for colour in (image[image[..., 2] < 40])} >= {(4, 3, 0), (2, 1, 0)}


def test_shapes_differ_and_follow_the_seed(key):
    some = [silhouette(bent(*key, np.random.default_rng(seed))[0], 40) > 0 for seed in range(6)]
    again = silhouette(bent(*key, np.random.default_rng(0))[0], 40) > 0
    assert np.array_equal(some[0], again)
    overlaps = [(a & b).sum() / (a | b).sum() for i, a in enumerate(some) for b in some[:i]]
    assert max(overlaps) < 0.9


def test_a_blank_page_stays_one():
    white, black = np.full((64, 64, 3), 255, np.uint8), np.zeros((64, 64, 3), np.uint8)
    image, control = bent(white, black, np.random.default_rng(0))
    assert (image == 255).all() and not control.any()


def test_the_judge_sees_single_things_bent_and_framed(judged, monkeypatch):
    workspace = judged
    monkeypatch.setattr(judge, "moved", lambda images, rng: images)
    seen = judge.CaptionedThumbnails(workspace.data, workspace.embed, splits.REWARD)
    before = seen.images.copy()
    (plain, captions, _), (shaped, same, _) = (seen.batch(np.random.default_rng(1), 48, share) for share in (0.0, 1.0))
    assert captions == same and np.array_equal(seen.images, before)
    drawn = np.random.default_rng(1).choice(len(seen.indices), 48, replace=len(seen.indices) < 48)
    single = np.array([workspace.data.scenes[index].kind == "single" for index in seen.indices[drawn]])
    changed = (plain != shaped).any((1, 2, 3))
    assert single.any() and np.array_equal(changed, single)
    for image in shaped[single]:
        _, _, width, height = cv2.boundingRect((silhouette(image, 24) > 0).astype(np.uint8))
        assert abs(max(width, height) - 0.88 * 64) < 6
