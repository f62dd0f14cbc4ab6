"""A stand-in for ImageReward: does the image fit the caption? The judge's network, trained on the rewards' own images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from hypersd_app.training.critics.text_image import DualEncoder
from hypersd_app.training.data.thumbnails import shrink_tensor


class AgreementReward(nn.Module):
    """The cosine between an image and its caption, in [-1, 1]. Captions left empty say nothing and get `enough`."""

    title = "text agreement (stand-in)"

    def __init__(self, path: Path, embed: Callable[[Sequence[str]], Tensor], enough: float = 0.8) -> None:
        super().__init__()
        self.model = DualEncoder.from_file(path)
        self._embed, self.enough = embed, enough

    def forward(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        with torch.no_grad():
            said = self.model.captions(self._embed(list(captions)).to(images.device))
        scores = (self.model.images(shrink_tensor(images)) * said).sum(-1)
        silent = torch.tensor([not caption for caption in captions], device=images.device)
        return scores.masked_fill(silent, self.enough)
