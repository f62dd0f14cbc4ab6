"""The judge: a small dual encoder that says which caption an image fits. Trained on real images, never on a model's.

Its images are a data set of their own that no stage of training reads (`data="judge"`), at 128 px so that soft edges and
mottled areas count, with the concepts held out from the teacher, which it must know to judge them. Only the frozen word
embeddings are shared with the model it judges. Trained on the rewards' split at 64 px instead, the same network is the
stand-in for a human's judgement of text agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.training.core.contact_sheet import from_uint8
from hypersd_app.training.core.device import images_to_device, mixed_precision, to_device
from hypersd_app.training.core.loop import LoopConfig, Progress, StepFunction
from hypersd_app.training.critics.fit import train_network
from hypersd_app.training.data.augment import bent
from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.data.splits import JUDGE, indices_of
from hypersd_app.training.data.text_encoder import TextEmbedder
from hypersd_app.training.data.thumbnails import SIDE, framed, moved, shrink, thumbnails
from hypersd_app.training.workspace import Workspace

DIMENSION = 256
PHRASINGS = 2  # captions of each image: few enough that most are embedded only once
FILE = "judge.safetensors"
JUDGE_SIDE = 128  # px


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Contrastive training (Radford et al., "CLIP", 2021) at a size two cores train in minutes.

    `names`: the weight of also finding the thing's name among those of all concepts, hundreds more wrong answers an image
    than a batch has. `reshaped`: how many images of a single thing are bent. People draw things in other shapes than artists:
    a judge that had seen them turned a little and stretched knew 73 % of 400 real images that were bent, and 98 % as they are;
    with half of them bent 89 and 99 %.
    """

    data: str = "judge"
    split: str | None = None  # of the data; None reads all of it
    side: int = JUDGE_SIDE
    batch: int = 128
    lr: float = 2e-3
    optimizer: str = "muon"
    ema_decay: float = 0.98
    names: float = 1.0
    reshaped: float = 0.5
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1800, warmup=30, cooldown=700, preview_minutes=30))


PRESETS: dict[str, JudgeConfig] = {
    "pocket": JudgeConfig(),
    "tiny": JudgeConfig(data="tiny", split=JUDGE, batch=8, loop=LoopConfig(steps=4, warmup=2, log_every=2)),
}


class Block(nn.Module):
    """A depthwise 5x5 convolution and a two-layer mixer (Liu et al., "ConvNeXt", 2022)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.mix = nn.Sequential(nn.Conv2d(channels, 3 * channels, 1), nn.GELU(), nn.Conv2d(3 * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(self.norm(self.spatial(x)))


class DualEncoder(nn.Module):
    """Images (B, 3, side, side) in [-1, 1] and caption embeddings (B, L, 384) into one space, unit vectors (B, 256).

    `side` is 64 or 128 px; the larger is looked at closely by a level of its own and then costs no more than the smaller.
    """

    def __init__(self, side: int = SIDE, channels: tuple[int, int, int] = (96, 192, 320), text_dimension: int = 384) -> None:
        super().__init__()
        if side not in (SIDE, JUDGE_SIDE):
            raise ValueError(f"side: {side!r}, not {SIDE} or {JUDGE_SIDE}")
        self.side = side
        fine = channels[0] // 2
        self.stem: nn.Module = nn.Conv2d(3, channels[0], 4, stride=4)
        if side == JUDGE_SIDE:
            self.stem = nn.Sequential(nn.Conv2d(3, fine, 4, stride=4), Block(fine), nn.Conv2d(fine, channels[0], 2, stride=2))
        layers: list[nn.Module] = []
        for level, width in enumerate(channels):
            if level:
                layers.append(nn.Conv2d(channels[level - 1], width, 2, stride=2))
            layers += [Block(width), Block(width)]
        self.body = nn.Sequential(*layers)
        self.picture_head = nn.Linear(channels[-1] * 16, DIMENSION)  # named so in the weights that ship
        self.text_body = nn.Sequential(nn.Linear(text_dimension, 512), nn.GELU(), nn.Linear(512, DIMENSION))
        self.log_temperature = nn.Parameter(torch.tensor(2.7))

    @staticmethod
    def from_file(path: Path) -> DualEncoder:
        """A trained one, frozen; weights stored in float16 are computed in float32."""
        tensors = load_file(path)
        model = DualEncoder(JUDGE_SIDE if "stem.0.weight" in tensors else SIDE)
        model.load_state_dict(tensors)
        return model.float().eval().requires_grad_(False)

    def features(self, images: Tensor) -> Tensor:
        """Before the shared space, float (B, 320 * 16): places in a 4x4 grid stay apart."""
        return self.body(self.stem(images)).flatten(1)

    def images(self, images: Tensor) -> Tensor:
        """Unit vectors of images."""
        return functional.normalize(self.picture_head(self.features(images)).float(), dim=-1)

    def captions(self, embeddings: Tensor) -> Tensor:
        """Unit vectors of captions; each word is read on its own, then averaged, so that none is lost."""
        present = (embeddings.abs().sum(-1, keepdim=True) > 0).float()
        words = self.text_body(embeddings) * present
        return functional.normalize((words.sum(1) / present.sum(1).clamp_min(1)).float(), dim=-1)


class CaptionedThumbnails:
    """The images of a data set or of one of its splits, small and in memory, with their captions' embeddings.

    A caption is embedded when it is first drawn.
    """

    def __init__(self, data: ImageDataset, embed: TextEmbedder, split: str | None, side: int = SIDE) -> None:
        self.data, self._embed = data, embed
        self.indices = np.arange(len(data.scenes)) if split is None else indices_of(data, split)
        self.images = thumbnails(data, side)[self.indices]
        self._known: dict[str, Tensor] = {}
        self.names = self.embedded([concept.names[0] for concept in data.concepts])

    def embedded(self, captions: Sequence[str]) -> Tensor:
        """float32 (B, L, 384), zero behind each caption's end."""
        missing = [caption for caption in dict.fromkeys(captions) if caption not in self._known]
        for start in range(0, len(missing), 256):
            some = missing[start : start + 256]
            for caption, rows in zip(some, self._embed(some), strict=True):
                self._known[caption] = rows[: int(rows.any(-1).sum())].half()
        found = [self._known[caption].float() for caption in captions]
        return nn.utils.rnn.pad_sequence(found, batch_first=True)

    def batch(self, rng: np.random.Generator, count: int, reshaped: float) -> tuple[Tensor, list[str], Tensor]:
        """Images (B, 3, side, side), captions, and how much of each concept is on them, rows that sum to 1: (B, concepts).

        Of single things a share of `reshaped` has another shape; where things stand beside others is what captions tell.
        """
        chosen = rng.choice(len(self.indices), count, replace=len(self.indices) < count)
        captions, shares = [], torch.zeros(count, len(self.data.concepts))
        single = np.array([self.data.scenes[index].kind == "single" for index in self.indices[chosen]])
        for row, index in enumerate(self.indices[chosen].tolist()):
            captions.append(self.data.caption(index, int(rng.integers(PHRASINGS))))
            for item in self.data.scenes[index].placements:
                shares[row, item.concept] += 1 / len(self.data.scenes[index].placements)
        images = self.images[chosen]
        for place in np.flatnonzero(single & (rng.random(count) < reshaped)):
            images[place] = framed(bent(images[place], np.zeros_like(images[place]), rng)[0])
        return moved(images, rng), captions, shares


def contrastive_loss(logits: Tensor, captions: Sequence[str]) -> tuple[Tensor, float]:
    """Each image finds its caption and each caption its image; the loss and how often the first succeeds.

    Rows with the same caption do not count as each other's wrong answers.
    """
    same = torch.tensor([[a == b for b in captions] for a in captions], device=logits.device)
    logits = logits.masked_fill(same & ~torch.eye(len(captions), dtype=torch.bool, device=logits.device), -1e4)
    target = torch.arange(len(captions), device=logits.device)
    loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
    return loss, float((logits.argmax(1) == target).float().mean())


def train(config: JudgeConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train or resume in `folder`; writes `folder/judge.safetensors`."""

    def build() -> tuple[nn.Module, StepFunction]:
        model = DualEncoder(config.side)
        data = CaptionedThumbnails(workspace.images(config.data), workspace.embed, config.split, config.side)

        def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
            rng = np.random.default_rng((config.seed, step, 3))
            images, captions, shares = data.batch(rng, config.batch, config.reshaped)
            texts, names, shares = to_device(data.embedded(captions), data.names, shares)
            with mixed_precision():
                seen = model.images(images_to_device(images))
                texts, names = model.captions(texts), model.captions(names)
            sharpness = model.log_temperature.exp().clamp(max=50)
            loss, accuracy = contrastive_loss(sharpness * seen @ texts.T, captions)
            named = functional.cross_entropy(sharpness * seen @ names.T, shares)
            figures = {"accuracy": accuracy, "contrastive": float(loss.detach()), "names": float(named.detach())}
            return loss + config.names * named, figures, len(captions)

        return model, step_function

    train_network(config, folder / FILE, progress, build, optimizer=config.optimizer)


class Judge:
    """A trained dual encoder and what it can measure."""

    def __init__(self, path: Path, embed: TextEmbedder) -> None:
        self.model = DualEncoder.from_file(path)
        self.embed = embed

    def image_vectors(self, images: NDArray[np.uint8]) -> Tensor:
        """Unit vectors, (B, 256)."""
        return torch.cat([self.model.images(self._small(images[i : i + 64])) for i in range(0, len(images), 64)])

    def image_features(self, images: NDArray[np.uint8]) -> Tensor:
        """Features for Fréchet and kernel distances, (B, 320): averaged over places."""
        parts = [self.model.features(self._small(images[i : i + 64])) for i in range(0, len(images), 64)]
        return torch.cat(parts).unflatten(1, (-1, 16)).mean(-1)

    def _small(self, images: NDArray[np.uint8]) -> Tensor:
        return from_uint8(shrink(images, self.model.side))

    def hits(
        self, images: NDArray[np.uint8], captions: Sequence[str], distractors: Sequence[str], seed: int = 0
    ) -> NDArray[np.bool_]:
        """For each image whether its caption beats 99 others drawn from `distractors`, or all others where there are fewer."""
        seen = self.image_vectors(images)
        right = self.model.captions(self.embed(list(captions)))
        others = self.model.captions(self.embed(list(distractors)))
        rng, hits = np.random.default_rng(seed), []
        for index, caption in enumerate(captions):
            allowed = [i for i, text in enumerate(distractors) if text != caption]
            drawn = rng.choice(allowed, min(99, len(allowed)), replace=False) if allowed else np.empty(0, np.int64)
            hits.append(bool((right[index] @ seen[index] > others[drawn] @ seen[index]).all()))
        return np.asarray(hits)

    def recall(self, images: NDArray[np.uint8], captions: Sequence[str], distractors: Sequence[str], top: int = 1) -> float:
        """R@top: how often the right caption is among the first `top` of 100, the mean of `chances`."""
        return float(self.chances(images, captions, distractors, top).mean())

    def chances(
        self, images: NDArray[np.uint8], captions: Sequence[str], distractors: Sequence[str], top: int = 1
    ) -> NDArray[np.float64]:
        """For each image how often its caption is among the first `top` beside 99 others: over all ways to draw them."""
        seen = self.image_vectors(images)
        right = (self.model.captions(self.embed(list(captions))) * seen).sum(1, keepdim=True)
        same = torch.tensor([[text == caption for text in distractors] for caption in captions])
        better = (seen @ self.model.captions(self.embed(list(distractors))).T >= right) & ~same
        counts = zip(better.sum(1).tolist(), (~same).sum(1).tolist(), strict=True)
        return np.array([fewer_drawn(top, ahead, count, 99) for ahead, count in counts])


def fewer_drawn(limit: int, better: int, count: int, draws: int) -> float:
    """How likely so many draws from `count` things, none twice, hold fewer than `limit` of the `better` ones."""
    draws = min(draws, count)
    ways = sum(comb(better, k) * comb(count - better, draws - k) for k in range(min(limit, better + 1, draws + 1)))
    return ways / comb(count, draws)
