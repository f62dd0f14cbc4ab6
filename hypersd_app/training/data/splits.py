"""Splits of the images: judges, rewards and trained models never share an image.

Of each drawing's views the first, which stands in the middle, is the rewards', the second the judge's, the others are kept
for evaluation. Compositions are held out by what they show; the others are dealt to rewards and judge. Drawings are the
same in all three, placements and compositions are not: the judge has to know what things look like.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.data.scenes import Scene
from hypersd_app.training.data.words.concepts import stable_percent

REWARD, JUDGE, EVALUATION = "reward", "judge", "evaluation"
SPLITS = (REWARD, JUDGE, EVALUATION)


def splits(data: ImageDataset) -> NDArray[np.str_]:
    """The split of every image, one of SPLITS, (N,)."""
    seen: dict[tuple[str, str], int] = {}
    views: dict[tuple[str, str], int] = {}
    for scene in data.scenes:
        if scene.kind == "single":
            views[_drawing(scene)] = views.get(_drawing(scene), 0) + 1
    found = []
    for scene in data.scenes:
        if scene.kind != "single":
            found.append(_composition_split(scene))
            continue
        drawing = _drawing(scene)
        view = seen[drawing] = seen.get(drawing, -1) + 1
        # A set with one view of each drawing, as quick tries are, has to deal the drawings themselves.
        view = view if views[drawing] >= len(SPLITS) else stable_percent(f"split:{drawing}") // 34
        found.append(SPLITS[min(view, 2)])
    return np.asarray(found)


def indices_of(data: ImageDataset, split: str) -> NDArray[np.int64]:
    """The images of a split; the rewards' are without concepts and compositions that are held out from the student."""
    assert split in SPLITS, split
    chosen = splits(data) == split
    if split == REWARD:
        chosen &= np.asarray([not scene.held_out for scene in data.scenes])
    return np.flatnonzero(chosen)


def _drawing(scene: Scene) -> tuple[str, str]:
    return scene.set_key, scene.placements[0].icon


def _composition_split(scene: Scene) -> str:
    if scene.held_out:
        return EVALUATION
    shown = "+".join([scene.kind, scene.relation, scene.set_key, *(f"{item.icon}:{item.colour}" for item in scene.placements)])
    return JUDGE if stable_percent(f"split:{shown}") < 50 else REWARD
