"""What the ControlNet is shown."""

from __future__ import annotations

import numpy as np
import torch

from hypersd_app.distill.controlnet import moved_together


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
