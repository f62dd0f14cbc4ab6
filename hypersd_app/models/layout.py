"""The layout prior: predicts the latents of a caption's images from the text alone, before any denoising.

Without a code it predicts their mean, the same for every seed. With one it predicts, blurred, one of the images that fit: which
one is what the code says (conditional implicit maximum likelihood estimation; Li et al., 2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.models.legacy_keys import accept_legacy_keys
from hypersd_app.models.shapes import LATENT_CHANNELS, LATENT_SIDE, MAX_TOKENS, TEXT_DIMENSION

LATENT_SHAPE = (LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE)
PART_SIDE = LATENT_SIDE // 2
PART_SHAPE = (LATENT_CHANNELS, PART_SIDE, PART_SIDE)
# Upper-left cells (y, x) of the places where one of several things can stand: left, right, top, bottom, corners, middle.
PART_PLACES = ((4, 0), (4, 8), (0, 4), (8, 4), (0, 0), (0, 8), (8, 0), (8, 8), (4, 4))
THINGS = 3  # most things a caption names
_KEY = 96
_VALUE = 128


@dataclass(frozen=True, kw_only=True)
class LayoutSize:
    """Sizes of a prior: numbers of a code (0: no code), and residual blocks and rank of the head for whole images."""

    code: int = 0
    blocks: int = 3
    rank: int = 448

    def __post_init__(self) -> None:
        if not 0 <= self.code < TEXT_DIMENSION:
            raise ValueError(f"code: {self.code} numbers, but a token holds 0 to {TEXT_DIMENSION - 1} besides its mark")

    def to_json(self) -> dict[str, int]:
        """For a model's config.json."""
        return asdict(self)


CODED = LayoutSize(code=24, blocks=4, rank=512)


def with_code(text: Tensor, code: Tensor | None, shown: Tensor | None = None) -> Tensor:
    """Caption embeddings (B, L, 384) and codes (B, n) to (B, L + 1, 384): the last token holds the code and a mark.

    So a code goes wherever the text goes. No code is a token of zeros, for which there is no layout, as for the empty caption of
    classifier-free guidance. `shown`, bool (B,): which rows have one; None: all.
    """
    token = text.new_zeros(len(text), 1, text.shape[2])
    if code is not None:
        token[:, 0, : code.shape[1]] = code.to(text)
        token[:, 0, -1] = 1
    if shown is not None:
        token *= shown.to(token).view(-1, 1, 1)
    return torch.cat([text, token], 1)


def without_code(text: Tensor, size: LayoutSize) -> Tensor:
    """The words alone, (B, L, 384), which attention reads: the code has been drawn by before."""
    return text[:, :-1] if size.code else text


def coded(text: Tensor, size: LayoutSize, noise: Tensor | None) -> Tensor:
    """Embeddings (B, L, 384) as a model with such a prior reads them: with the code of the noise an image begins at, if any.

    `noise` (B, ...); None: text that has no layout. Without codes the text is as it was.
    """
    return with_code(text, None if noise is None else code_of(noise, size.code)) if size.code else text


def code_of(noise: Tensor, size: int) -> Tensor:
    """The code (B, size) of images that begin at `noise` (B, ...), standard normal: its first numbers, so that a seed says all."""
    return noise.flatten(1)[:, :size]


class TokenEncoder(nn.Module):
    """One pre-norm transformer block over caption embeddings: (B, L, 384) to (B, L, width).

    A token's own embedding cannot say that it names "the first of two things"; attention over the caption can.
    """

    def __init__(self, width: int = 192, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(TEXT_DIMENSION, width)
        self.positions = nn.Parameter(0.02 * torch.randn(MAX_TOKENS, width))
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, text: Tensor, mask: Tensor) -> Tensor:
        """`mask` (B, 1, L) is added to attention scores: 0 for tokens, very negative for padding."""
        x = self.in_proj(text) + self.positions[: text.shape[1]]
        parts = self.qkv(self.norm(x)).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None])
        x = x + self.out_proj(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(x)


class QueryPooling(nn.Module):
    """Attention pooling with learnt queries: token features to `groups` vectors of a caption, (B, groups, queries * 128)."""

    def __init__(self, width: int, groups: int, queries: int) -> None:
        super().__init__()
        self.groups = groups
        self.queries = nn.Parameter(0.5 * torch.randn(groups * queries, _KEY))
        self.keys = nn.Linear(width, _KEY)
        self.values = nn.Linear(TEXT_DIMENSION + width, _VALUE)

    def forward(self, text: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Caption embeddings (B, L, 384), their encoding (B, L, width), and `mask` as `TokenEncoder` takes it."""
        scores = self.queries @ self.keys(tokens).transpose(1, 2) / _KEY**0.5 + mask
        pooled = scores.softmax(-1) @ self.values(torch.cat([text, tokens], -1))
        return pooled.unflatten(1, (self.groups, -1)).flatten(2)


class LatentHead(nn.Module):
    """Pooled caption features (..., inputs) to latents (..., *shape): residual MLP blocks and a low-rank output layer.

    A code (..., code) scales and shifts what each block reads.
    """

    def __init__(self, inputs: int, width: int, blocks: int, rank: int, shape: tuple[int, ...], code: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.in_proj = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in range(blocks)
        )
        self.codes = nn.ModuleList(nn.Linear(code, 2 * width) for _ in range(blocks if code else 0))
        self.bottleneck = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, rank), nn.GELU())
        self.out_proj = nn.Linear(rank, math.prod(shape))

    def forward(self, pooled: Tensor, code: Tensor | None = None) -> Tensor:
        x = self.in_proj(pooled)
        for index, block in enumerate(self.blocks):
            if code is None:
                x = x + block(x)
            else:
                scale, shift = self.codes[index](code).chunk(2, -1)
                x = x + block[1:](block[0](x) * (1 + scale) + shift)  # type: ignore[index]
        return self.out_proj(self.bottleneck(x)).unflatten(-1, self.shape)


class LayoutPrior(nn.Module):
    """Predicts latents (B, 16, 16, 16) of images that fit a caption (B, L, 384): a blurred first guess.

    A regression without noise trains on hundreds of captions per second on two cores, while the UNet, at eight images
    per second, has to learn the same through its attention. One head predicts the image as a whole. Where a caption names
    several things, a second head predicts each at half the size, and `place` says where each of them stands: a thing looks
    the same beside another, above one or three times. Padding (embeddings of zeros) is masked. With a code, the text has one
    token more (`with_code`); where that holds none the layout is zeros.
    """

    def __init__(self, size: LayoutSize = LayoutSize()) -> None:
        super().__init__()
        self.size = size
        self.token_encoder = TokenEncoder()
        width = self.token_encoder.norm.normalized_shape[0]
        self.whole_pooling = QueryPooling(width, 1, 8)
        self.whole_head = LatentHead(8 * _VALUE, 640, size.blocks, size.rank, LATENT_SHAPE, size.code)
        self.part_pooling = QueryPooling(width, THINGS, 4)
        self.part_head = LatentHead(4 * _VALUE, 512, 2, 320, PART_SHAPE, size.code)
        self.place = nn.Linear(8 * _VALUE + size.code, THINGS * len(PART_PLACES))
        accept_legacy_keys(self)

    def forward(self, text: Tensor) -> Tensor:
        if not self.size.code:
            return self._drawn(self._pooled(text), None)
        text, token = text[:, :-1], text[:, -1]
        layout = self._drawn(self._pooled(text), token[:, : self.size.code])
        return layout * token[:, -1].view(-1, 1, 1, 1)

    @torch.no_grad()
    def nearest_code(self, text: Tensor, latents: Tensor, codes: Tensor) -> Tensor:
        """Of random `codes` (B, N, code) those, (B, code), whose layouts of `text` (B, L, 384) are nearest to `latents`."""
        candidates = codes.shape[1]
        whole, parts = (features.repeat_interleave(candidates, 0) for features in self._pooled(text))
        layouts = self._drawn((whole, parts), codes.flatten(0, 1)).unflatten(0, (-1, candidates))
        nearest = (layouts - latents[:, None]).square().mean((2, 3, 4)).argmin(1)
        return codes[torch.arange(len(codes)), nearest]

    def _pooled(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """What both heads read: (B, 1024) of the whole caption, (B, 3, 512) of its things."""
        # Finite rather than -inf, so that a caption of padding alone does not give NaN.
        mask = torch.where(text.abs().sum(-1).gt(0).unsqueeze(1), 0.0, -1e4).to(text.dtype)
        tokens = self.token_encoder(text, mask)
        return self.whole_pooling(text, tokens, mask).squeeze(1), self.part_pooling(text, tokens, mask)

    def _drawn(self, pooled: tuple[Tensor, Tensor], code: Tensor | None) -> Tensor:
        whole, parts = pooled
        things = self.part_head(parts, None if code is None else code[:, None].expand(-1, THINGS, -1))
        asked = whole if code is None else torch.cat([whole, code], -1)
        places = self.place(asked).unflatten(1, (len(PART_PLACES), THINGS)).sigmoid()
        placed = (places @ things.flatten(2)).unflatten(2, PART_SHAPE)
        return self.whole_head(whole, code) + at_places(placed)


def size_of(state: Mapping[str, Tensor]) -> LayoutSize:
    """Which size of prior these weights, under the names used now, are of."""
    coded = state.get("whole_head.codes.0.weight")
    return LayoutSize() if coded is None else replace(CODED, code=coded.shape[1])


def at_places(parts: Tensor) -> Tensor:
    """Sums parts (B, 9, 16, 8, 8), each shifted to its one of PART_PLACES: (B, 16, 16, 16)."""
    rest = LATENT_SIDE - PART_SIDE
    placed = [functional.pad(part, (x, rest - x, y, rest - y)) for part, (y, x) in zip(parts.unbind(1), PART_PLACES, strict=True)]
    return torch.stack(placed).sum(0)


def changed(layout: Tensor, change: Tensor) -> Tensor:
    """Blends a sketch's change (B, 17, 16, 16), latents and as the last channel their weight, into a layout (B, 16, 16, 16)."""
    return layout * (1 - change[:, -1:]) + change[:, :-1]
