"""The LAION aesthetic predictor: a small network on CLIP's image embedding (Schuhmann et al., "LAION-5B", 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModelWithProjection

from hypersd_app.errors import ModelUnavailable
from hypersd_app.training.critics.clip_pixels import clip_pixels

HEAD = "head.safetensors"


def score_head(width: int) -> nn.Sequential:
    """The five linear layers of the predictor and of ImageReward, with the dropouts that number them."""
    sizes = (width, 1024, 128, 64, 16, 1)
    drops = (0.2, 0.2, 0.1, None, None)
    layers: list[nn.Module] = []
    for before, after, drop in zip(sizes, sizes[1:], drops, strict=False):
        layers += [nn.Linear(before, after), *([nn.Dropout(drop)] if drop is not None else [])]
    return nn.Sequential(*layers)


class AestheticReward(nn.Module):
    """A score of about 1 to 10, from `folder/clip` (CLIP ViT-L/14 as transformers saves it) and `folder/head.safetensors`.

    The head is `sac+logos+ava1-l14-linearMSE` under its own names (`layers.0.weight`, ...), converted to safetensors:
    pickles are not read. Raises ModelUnavailable where a file is missing or does not fit.
    """

    title = "LAION aesthetic score"

    def __init__(self, folder: Path, enough: float = 6.0) -> None:
        super().__init__()
        if not (folder / HEAD).exists() or not (folder / "clip").is_dir():
            raise ModelUnavailable(f"The aesthetic predictor needs {folder}/clip and {folder}/{HEAD}.")
        self.clip = CLIPVisionModelWithProjection.from_pretrained(folder / "clip", use_safetensors=True)
        self.head = score_head(self.clip.config.projection_dim)
        try:
            self.head.load_state_dict({key.removeprefix("layers."): value for key, value in load_file(folder / HEAD).items()})
        except RuntimeError as error:
            raise ModelUnavailable(f"{folder / HEAD} is not the aesthetic predictor's head: {error}") from error
        self.eval().requires_grad_(False)
        self.enough = enough

    def forward(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        embedding = self.clip(clip_pixels(images.float(), self.clip.config.image_size)).image_embeds
        return self.head(functional.normalize(embedding.float(), dim=-1)).squeeze(1)
