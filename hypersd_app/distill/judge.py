"""The judge: a small dual encoder that says which caption a picture fits. Trained on real pictures, never on a model's.

It has its own pictures (data preset "judge": another seed, so other placements, colours and pairs than the teacher saw,
and the concepts held out from the teacher, which it must know to judge them) and its own image tower; only the frozen
word embeddings are shared with the model it judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.distill.optimizers import ExponentialAverage, build_optimizers
from hypersd_app.distill.precision import MEMORY_FORMAT, mixed_precision
from hypersd_app.distill.previews import from_uint8
from hypersd_app.distill.runs import LoopConfig, Progress, RunFolder, TrainingState, run_loop
from hypersd_app.distill.text import TextEmbedder
from hypersd_app.distill.workspace import Workspace

SIDE = 96
DIMENSION = 256


@dataclass(frozen=True)
class JudgeConfig:
    """Contrastive training (Radford et al., "CLIP", 2021) at a size two cores train in minutes."""

    data: str = "judge"
    batch: int = 128
    lr: float = 1e-3
    optimizer: str = "muon"
    ema_decay: float = 0.995
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1600, warmup=50, cooldown=800, preview_minutes=30))


PRESETS: dict[str, JudgeConfig] = {
    "pocket": JudgeConfig(),
    "tiny": JudgeConfig(data="tiny", batch=8, loop=LoopConfig(steps=4, warmup=2, log_every=2)),
}


class Block(nn.Module):
    """A depthwise 7x7 convolution and a two-layer mixer (Liu et al., "ConvNeXt", 2022)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.mix = nn.Sequential(nn.Conv2d(channels, 3 * channels, 1), nn.GELU(), nn.Conv2d(3 * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(self.norm(self.spatial(x)))


class DualEncoder(nn.Module):
    """Pictures (B, 3, 96, 96) in [-1, 1] and caption embeddings (B, L, 384) into one space, unit vectors (B, 256)."""

    def __init__(self, channels: tuple[int, int, int] = (96, 192, 320), text_dimension: int = 384) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels[0], 6, stride=6)
        layers: list[nn.Module] = []
        for level, width in enumerate(channels):
            if level:
                layers.append(nn.Conv2d(channels[level - 1], width, 2, stride=2))
            layers += [Block(width), Block(width)]
        self.body = nn.Sequential(*layers)
        self.picture_head = nn.Linear(channels[-1] * 16, DIMENSION)
        self.text_body = nn.Sequential(nn.Linear(text_dimension, 512), nn.GELU(), nn.Linear(512, DIMENSION))
        self.log_temperature = nn.Parameter(torch.tensor(2.7))

    def features(self, pictures: Tensor) -> Tensor:
        """Before the shared space, float (B, 320 * 16): places in a 4x4 grid stay apart."""
        return self.body(self.stem(pictures)).flatten(1)

    def pictures(self, pictures: Tensor) -> Tensor:
        """Unit vectors of pictures."""
        return functional.normalize(self.picture_head(self.features(pictures)).float(), dim=-1)

    def captions(self, embeddings: Tensor) -> Tensor:
        """Unit vectors of captions; each word is read on its own, then averaged, so that none is lost."""
        present = (embeddings.abs().sum(-1, keepdim=True) > 0).float()
        words = self.text_body(embeddings) * present
        return functional.normalize((words.sum(1) / present.sum(1).clamp_min(1)).float(), dim=-1)


def shrink(pictures: NDArray[np.uint8]) -> Tensor:
    """(B, 256, 256, 3) uint8 to the judge's input."""
    return functional.interpolate(from_uint8(pictures), (SIDE, SIDE), mode="area")


def train(config: JudgeConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train or resume in `folder`; leaves `folder/judge.safetensors`."""
    torch.manual_seed(config.seed)
    model = DualEncoder().to(memory_format=MEMORY_FORMAT)
    state = TrainingState(
        model, build_optimizers(model, config.optimizer, config.lr, 0.02), ExponentialAverage(model, config.ema_decay)
    )
    run, data, embed = RunFolder(folder), workspace.data, workspace.embed
    run.save_config(config)
    run.resume(state)

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        rng = np.random.default_rng((config.seed, step, 3))
        chosen = np.sort(rng.choice(len(data.scenes), config.batch, replace=False))
        captions = [data.caption(int(index), int(rng.integers(1 << 30))) for index in chosen]
        pictures = shrink(data.pictures[chosen])
        flat = torch.from_numpy(rng.uniform(0.9, 1.1, (len(chosen), 3, 1, 1)).astype(np.float32))
        pictures = ((pictures + 1) * flat - 1).clamp(-1, 1).contiguous(memory_format=MEMORY_FORMAT)
        with mixed_precision():
            seen, said = model.pictures(pictures), model.captions(embed(captions))
        logits = model.log_temperature.exp().clamp(max=50) * seen @ said.T
        same = torch.tensor([[a == b for b in captions] for a in captions])
        logits = logits.masked_fill(same & ~torch.eye(len(captions), dtype=torch.bool), -1e4)
        target = torch.arange(len(captions))
        loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        return loss, {"accuracy": float((logits.argmax(1) == target).float().mean())}, len(captions)

    def preview(step: int) -> None:
        state.ema.swap()
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "judge.safetensors")
        state.ema.swap()

    run_loop(run, state, config.loop, step_function, preview, progress)


class Judge:
    """A trained dual encoder and what it can measure."""

    def __init__(self, path: Path, embed: TextEmbedder) -> None:
        self.model = DualEncoder()
        self.model.load_state_dict(load_file(path))
        self.model.eval().requires_grad_(False)
        self.embed = embed

    def picture_vectors(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Unit vectors, (B, 256)."""
        return torch.cat([self.model.pictures(shrink(pictures[i : i + 64])) for i in range(0, len(pictures), 64)])

    def picture_features(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Features for Fréchet and kernel distances, (B, 320): averaged over places."""
        parts = [self.model.features(shrink(pictures[i : i + 64])) for i in range(0, len(pictures), 64)]
        return torch.cat(parts).unflatten(1, (-1, 16)).mean(-1)

    def recall(self, pictures: NDArray[np.uint8], captions: Sequence[str], distractors: Sequence[str], seed: int = 0) -> float:
        """R@1: how often the right caption beats 99 others drawn from `distractors`."""
        seen = self.picture_vectors(pictures)
        right = self.model.captions(self.embed(list(captions)))
        others = self.model.captions(self.embed(list(distractors)))
        rng, hits = np.random.default_rng(seed), 0
        for index, caption in enumerate(captions):
            allowed = [i for i, text in enumerate(distractors) if text != caption]
            rivals = others[rng.choice(allowed, 99, replace=False)] @ seen[index]
            hits += bool(right[index] @ seen[index] > rivals.max())
        return hits / len(captions)
