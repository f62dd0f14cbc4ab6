"""Prompts of an evaluation and the real images to compare with, none of which a judge or reward has seen."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.data.icons.sources import MAIN_SET
from hypersd_app.training.data.splits import EVALUATION, indices_of
from hypersd_app.training.data.words.grammar import with_article
from hypersd_app.training.workspace import Workspace

_UNSEEN_PHRASES = ("a sticker of {}", "draw {}", "an icon that shows {}", "{} please", "one picture with {}")
HELD_OUT_CASES = 200
COMPOSED_SHARE = 1 / 3  # of the cases of known things, where there are enough compositions
DIVERSITY_PROMPTS, DIVERSITY_SEEDS = 24, 16


@dataclass(frozen=True)
class Cases:
    """`prompts` are what models are asked in phrasings never trained on, `captions` what the judge looks for.

    `shown` are the real images that the captions are of; `others` equally many of the same kind.
    """

    prompts: list[str]
    captions: list[str]
    shown: NDArray[np.int64]
    others: NDArray[np.int64]


@dataclass(frozen=True)
class EvaluationImages:
    """Real images that no stage of training, no reward and no judge has seen, and that are compared with or asked for."""

    data: ImageDataset
    indices: NDArray[np.int64]

    @staticmethod
    def of(workspace: Workspace) -> EvaluationImages:
        """A data set of its own: other views of all drawings, and compositions that were held out by what they show.

        Quick trials take a split of their only data. Raises ModelUnavailable before the data was made.
        """
        if workspace.family == "tiny":
            return EvaluationImages(workspace.data, indices_of(workspace.data, EVALUATION))
        data = workspace.images(EVALUATION)
        return EvaluationImages(data, np.flatnonzero([scene.kind == "single" or scene.held_out for scene in data.scenes]))


def _phrased(captions: list[str], rng: random.Random) -> list[str]:
    return [rng.choice(_UNSEEN_PHRASES).format(caption) for caption in captions]


def trained_cases(images: EvaluationImages, count: int, seed: int) -> Cases:
    """Known things in renderings and compositions that were kept for evaluation, drawn in the main style where there are enough."""
    data = images.data
    chosen = [int(i) for i in images.indices if not _unknown(data, int(i))]
    main = [index for index in chosen if data.scenes[index].set_key == MAIN_SET]
    chosen = main if len(main) >= 2 * count else chosen
    rng = random.Random(f"cases:{seed}")
    rng.shuffle(chosen)
    composed = [index for index in chosen if data.scenes[index].kind != "single"][: 2 * round(COMPOSED_SHARE * count)]
    chosen = [*composed, *(index for index in chosen if data.scenes[index].kind == "single")][: 2 * count]
    rng.shuffle(chosen)
    count = min(count, len(chosen) // 2)
    shown, others = chosen[:count], chosen[count : 2 * count]
    captions = [_caption(data, index, seed) for index in shown]
    return Cases(_phrased(captions, rng), captions, np.asarray(shown), np.asarray(others))


def held_out_cases(images: EvaluationImages, seed: int, count: int = HELD_OUT_CASES) -> Cases:
    """Things held out from the teacher, alone; `others` is empty."""
    data = images.data
    chosen = [int(i) for i in images.indices if _unknown(data, int(i)) and data.scenes[int(i)].kind == "single"]
    rng = random.Random(f"held out:{seed}")
    rng.shuffle(chosen)
    captions = [_caption(data, index, seed) for index in chosen[:count]]
    return Cases(_phrased(captions, rng), captions, np.asarray(chosen[:count], np.int64), np.empty(0, np.int64))


def _caption(data: ImageDataset, index: int, seed: int) -> str:
    """A composition's caption; a thing alone by its usual name, since "an animal" fits many images as well."""
    scene = data.scenes[index]
    if scene.kind == "single":
        return with_article(data.concepts[scene.placements[0].concept].names[0])
    return data.caption(index, seed, style=False)


def _unknown(data: ImageDataset, index: int) -> bool:
    return any(data.concepts[item.concept].held_out for item in data.scenes[index].placements)
