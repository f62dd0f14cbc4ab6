"""Scores of images against their captions: CLIP score, PickScore, LAION aesthetic, ImageReward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPProcessor

from hypersd_app.errors import ModelUnavailable
from hypersd_app.training.core.contact_sheet import from_uint8
from hypersd_app.training.critics.aesthetic import AestheticReward
from hypersd_app.training.critics.image_reward import ImageReward
from hypersd_app.training.workspace import Workspace

Score = Callable[[Sequence[Image.Image], Sequence[str]], Tensor]  # float32 (B,)
TOKENS = 77


class ClipPair:
    """Image and caption in one CLIP space, from a folder as transformers saves a CLIPModel with its CLIPProcessor.

    `scale` of None is the model's own logit scale over 100, which is PickScore as it is published (.217 for 21.7); CLIP
    score takes 100. Raises ModelUnavailable.
    """

    def __init__(self, folder: Path, scale: float | None) -> None:
        if not (folder / "config.json").exists():
            raise ModelUnavailable(f"No CLIP model in {folder}: put a folder there as transformers saves it.")
        self.model = CLIPModel.from_pretrained(folder, use_safetensors=True).eval().requires_grad_(False)
        self.processor = CLIPProcessor.from_pretrained(folder)
        self.scale = float(self.model.logit_scale.exp()) / 100 if scale is None else scale

    @torch.no_grad()
    def __call__(self, images: Sequence[Image.Image], captions: Sequence[str]) -> Tensor:
        length = min(TOKENS, self.model.config.text_config.max_position_embeddings)
        given = self.processor(
            text=list(captions), images=list(images), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        found = self.model(**given)  # both embeddings are of length 1
        return self.scale * (found.image_embeds * found.text_embeds).sum(1)


@dataclass(frozen=True)
class FromReward:
    """A reward of training as a metric."""

    reward: AestheticReward | ImageReward

    @torch.no_grad()
    def __call__(self, images: Sequence[Image.Image], captions: Sequence[str]) -> Tensor:
        pixels = [from_uint8(np.asarray(image.convert("RGB"))[None]) for image in images]
        return torch.cat([self.reward(one, [caption]) for one, caption in zip(pixels, captions, strict=True)])


METRICS: Mapping[str, Callable[[Path], Score]] = {
    "clip": lambda folder: ClipPair(folder / "clip-score", 100.0),
    "aesthetic": lambda folder: FromReward(AestheticReward(folder / "aesthetic")),
    "image_reward": lambda folder: FromReward(ImageReward(folder / "image-reward")),
    "pick": lambda folder: ClipPair(folder / "pick-score", None),
}


def open_metrics(workspace: Workspace) -> dict[str, Score]:
    """All of METRICS, from `runs/reward`. Raises ModelUnavailable, and names the first that is missing."""
    folder = workspace.run("reward", "clip-score").parent
    return {name: build(folder) for name, build in METRICS.items()}
