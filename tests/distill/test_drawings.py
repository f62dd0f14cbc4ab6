"""What learns from drawings is shown."""

from __future__ import annotations

import numpy as np
import torch

from hypersd_app.distill.data.scribbles import silhouette
from hypersd_app.distill.drawings import moved_together, put_anywhere


def test_pictures_move_with_their_strokes() -> None:
    latents, control = torch.zeros(16, 2, 16, 16), torch.zeros(16, 3, 256, 256)
    latents[:, :, 8, 8] = 1
    control[:, :, 128:144, 128:144] = 1
    blank = torch.full((2, 16, 16), 0.5)
    moved_together(latents, control, blank, 3, np.random.default_rng(0))
    places = {tuple(int(i) for i in (row[0] == 1).nonzero()[0]) for row in latents}
    assert len(places) > 4 and all(5 <= i <= 11 for place in places for i in place)
    for row, strokes in zip(latents, control, strict=True):
        assert torch.equal(strokes[0, ::16, ::16] == 1, row[0] == 1)
        assert strokes.sum() == 3 * 256, "nothing of a stroke is lost, nor left behind"
    still = [row for row in latents if row[0, 8, 8] == 1]
    assert 1 <= len(still) < 12 and all((row == 0.5).any() for row in latents if row[0, 8, 8] != 1)


def test_a_thing_is_put_somewhere_else_whole_and_in_another_shape() -> None:
    picture = np.full((256, 256, 3), 255, np.uint8)
    picture[30:230, 60:160] = (200, 30, 30)
    picture[30:230, 110:160] = (20, 30, 200)
    boxes, mirrored = [], set()
    for seed in range(12):
        made = put_anywhere(picture, np.random.default_rng(seed))
        assert made.shape == picture.shape and made.dtype == np.uint8
        assert (made[:4] == 255).all() and (made[:, -4:] == 255).all(), "white stays around it"
        ys, xs = np.nonzero(silhouette(made, 40))
        height, width = int(np.ptp(ys)) + 1, int(np.ptp(xs)) + 1
        boxes.append((int(ys.min()), int(xs.min()), height))
        assert 1.1 < height / width < 3.5 and 55 <= height <= 245
        middle = made[int(ys.mean()), [int(xs.mean()) - width // 8, int(xs.mean()) + width // 8]].astype(int)
        assert (middle.max(1) > 150).all() and (middle.min(1) < 80).all()
        mirrored.add(bool(middle[0, 2] > middle[0, 0]))
    assert len(set(boxes)) == 12 and np.ptp([height for *_, height in boxes]) > 60
    assert mirrored == {False, True}, "red is left in some, right in others"
