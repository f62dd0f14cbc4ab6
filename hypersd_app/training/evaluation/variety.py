"""How much images of one prompt differ when where they stand does not count, beside how much real ones do."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.data.icons.sources import ICON_SETS
from hypersd_app.training.data.thumbnails import framed
from hypersd_app.training.data.words.grammar import with_article
from hypersd_app.training.evaluation.cases import EvaluationImages

SIDE = 32  # px
PROMPTS, SEEDS = 40, 8
Group = NDArray[np.uint8]  # images of one thing, (S, H, W, 3)


def aligned(images: Group) -> NDArray[np.float32]:
    """What is drawn, moved to the middle and to one size, as small copies (N, 32, 32, 3) in [0, 1]."""
    small = [cv2.resize(framed(image), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images]
    return np.stack(small).astype(np.float32) / np.float32(255)


def variance(groups: list[Group]) -> float:
    """The mean over groups of the variance between a group's images, per pixel and channel; each has more than one."""
    return float(np.mean([aligned(group).var(0, ddof=1).mean() for group in groups]))


@dataclass(frozen=True)
class VarietyCases:
    """Prompts and, for each, the real images that show how far its images may differ.

    `any_style` asks for a thing alone: real images are the drawings of all icon sets. `one_style` names the set as well:
    real images are that set's own, in all its views.
    """

    any_style: Mapping[str, NDArray[np.int64]]
    one_style: Mapping[str, NDArray[np.int64]]

    @staticmethod
    def of(images: EvaluationImages, seed: int, prompts: int = PROMPTS) -> VarietyCases:
        """Things that the teacher was taught and that have at least four real images, drawn at random."""
        data, rng = images.data, random.Random(f"variety:{seed}")
        by_thing, by_set = (
            _groups(data, images.indices, lambda scene: ""),
            _groups(data, images.indices, lambda scene: scene.set_key),
        )
        return VarietyCases(
            _drawn(by_thing, rng, prompts, lambda concept, _: with_article(data.concepts[concept].names[0])),
            _drawn(
                by_set,
                rng,
                prompts,
                lambda concept, key: f"{with_article(data.concepts[concept].names[0])}, {ICON_SETS[key].style_words[0]}",
            ),
        )

    def real(self, data: ImageDataset) -> tuple[float, float]:
        """The variance of the real images, for no style and one style named; NaN where there are no cases."""
        return tuple(  # type: ignore[return-value]
            variance([data.images[rows] for rows in cases.values()]) if cases else float("nan")
            for cases in (self.any_style, self.one_style)
        )

    def made(self, draw: Callable[[list[str], int], NDArray[np.uint8]], seed: int) -> tuple[float, float]:
        """The same of what `draw(prompts, seed)` makes, eight images of each prompt."""
        found = []
        for cases in (self.any_style, self.one_style):
            asked = [prompt for prompt in cases for _ in range(SEEDS)]
            images = draw(asked, seed) if asked else np.empty((0, 0, 0, 3), np.uint8)
            groups = [images[start : start + SEEDS] for start in range(0, len(asked), SEEDS)]
            found.append(variance(groups) if groups else float("nan"))
        return found[0], found[1]


def _groups(data: ImageDataset, indices: NDArray[np.int64], key: Callable[..., str]) -> dict[tuple[int, str], list[int]]:
    """Images of a taught thing alone, by the thing and `key(scene)`."""
    found: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index in indices.tolist():
        scene = data.scenes[index]
        concept = scene.placements[0].concept
        if scene.kind == "single" and not data.concepts[concept].held_out:
            found[concept, key(scene)].append(index)
    return found


def _drawn(
    groups: Mapping[tuple[int, str], list[int]], rng: random.Random, count: int, prompt: Callable[[int, str], str]
) -> dict[str, NDArray[np.int64]]:
    large = sorted(key for key, rows in groups.items() if len(rows) >= SEEDS // 2)
    chosen = rng.sample(large, min(count, len(large)))
    return {prompt(*key): np.array(sorted(rng.sample(groups[key], min(SEEDS, len(groups[key]))))) for key in chosen}
