"""CLIP encoders of three small layers whose weights are a formula, so that numbers computed elsewhere stay comparable for ever."""

from __future__ import annotations

import warnings

import torch
import transformers
from torch import Tensor, nn

TOKENS, POSITIONS = 49408, 77
WIDTHS = (16, 24)  # of the first encoder and of SDXL's second
EMBEDDINGS = {"inkstyle": 1, "easy-neg": 3}  # textual inversions by name, with their numbers of vectors


def waves(shape: torch.Size | tuple[int, ...], pitch: float) -> Tensor:
    """Numbers in [-1, 1] that repeat nowhere."""
    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin((count + 1) * pitch + 0.5 * torch.cos(count * 0.37 * pitch)).float().view(shape)


def steady(module: nn.Module) -> nn.Module:
    """`module` with weights by formula: small ones, norms around 1."""
    with torch.no_grad():
        for number, (name, parameter) in enumerate(module.named_parameters()):
            values = waves(parameter.shape, 0.7 + 0.013 * number)
            if "norm" in name:
                parameter.copy_(values * 0.2 + (1.0 if name.endswith("weight") else 0.0))
            else:
                parameter.copy_(values * (0.6 if parameter.ndim == 2 and parameter.shape[0] < POSITIONS else 0.9))
    return module.eval()


def encoders() -> tuple[nn.Module, nn.Module]:
    """SDXL's two; the first is SD1.5's."""
    made = []
    for width, kind in zip(WIDTHS, (transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection), strict=True):
        config = transformers.CLIPTextConfig(
            vocab_size=TOKENS, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3, num_attention_heads=2,
            max_position_embeddings=POSITIONS, projection_dim=12, bos_token_id=49406, eos_token_id=49407, pad_token_id=49407,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.append(steady(kind(config)))
    return made[0], made[1]


def vectors(name: str, encoder: int) -> Tensor:
    """The vectors of an embedding for one of the encoders, (n, width)."""
    return waves((EMBEDDINGS[name], WIDTHS[encoder]), 0.9 + 0.1 * len(name) + encoder)


def fingerprint(values: Tensor) -> list[float]:
    """Eight weighted means of an embedding, in which every number counts."""
    flat = values.detach().double().flatten()
    return [float((flat * waves(flat.shape, 0.3 + 0.21 * number).double()).sum() / flat.numel() ** 0.5) for number in range(8)]
