"""What learns from drawings is shown."""

from __future__ import annotations

import numpy as np
import torch

from hypersd_app.training.controlnet.dataset import DrawingConfig, DrawnImages, moved_together, put_anywhere
from hypersd_app.training.data.latents import encode
from hypersd_app.training.data.scribbles import silhouette
from tests.support.judged_models import no_progress


def test_images_move_with_their_strokes() -> None:
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
    image = np.full((256, 256, 3), 255, np.uint8)
    image[30:230, 60:160] = (200, 30, 30)
    image[30:230, 110:160] = (20, 30, 200)
    boxes, mirrored = [], set()
    for seed in range(12):
        made = put_anywhere(image, np.random.default_rng(seed))
        assert made.shape == image.shape and made.dtype == np.uint8
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


def test_single_things_are_bent_with_their_strokes_and_others_are_not(own_judged) -> None:
    workspace = own_judged
    straight, bent = (
        DrawnImages.of(DrawingConfig(anywhere=8, workers=1, most_cells=0, bent=share), workspace, no_progress)
        for share in (0.0, 1.0)
    )
    as_drawn, shown = straight.batch(64, 0.0, 0, 1), bent.batch(64, 0.0, 0, 1)
    assert torch.equal(as_drawn.text, shown.text)
    changed = (as_drawn.control != shown.control).flatten(1).any(1)
    assert torch.equal(changed, as_drawn.things >= 0) and 0 < changed.sum() < 64
    assert torch.equal(as_drawn.things, shown.things)
    assert torch.equal((as_drawn.latents != shown.latents).flatten(1).any(1), changed)
    again = bent.batch(64, 0.0, 0, 1)
    assert torch.equal(again.control, shown.control) and torch.equal(again.latents, shown.latents)


def test_what_was_put_anywhere_is_found_again(own_judged) -> None:
    workspace = own_judged
    seen = DrawnImages.of(DrawingConfig(anywhere=8, workers=1), workspace, no_progress)
    for row in (0, len(seen.captions) - 8, len(seen.captions) - 1):
        latents = encode(workspace.autoencoder, seen.images[row][None])[0].astype(np.float32)
        assert np.allclose(seen.latents[row].astype(np.float32), latents, atol=0.05)
