"""What a caption says about the whole picture at once: its mean latents, read off the words before any noise is looked at."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.models.shapes import LATENT_CHANNELS, LATENT_SIDE, MAX_TOKENS, TEXT_DIMENSION

LATENT_SHAPE = (LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE)
PART_SIDE = LATENT_SIDE // 2
PART_SHAPE = (LATENT_CHANNELS, PART_SIDE, PART_SIDE)
# Upper left cells (y, x) of the places where one of several things can stand: left, right, top, bottom, corners, middle.
PART_PLACES = ((4, 0), (4, 8), (0, 4), (8, 4), (0, 0), (0, 8), (8, 0), (8, 8), (4, 4))
THINGS = 3  # that a caption can name and a picture hold
_KEY = 96
_VALUE = 128


class Words(nn.Module):
    """Caption embeddings (B, L, 384) to what each word means beside the others, (B, L, width): one layer of attention.

    "The first of two things" is nothing a single word's embedding tells.
    """

    def __init__(self, width: int = 192, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.enter = nn.Linear(TEXT_DIMENSION, width)
        self.places = nn.Parameter(0.02 * torch.randn(MAX_TOKENS, width))
        self.norm = nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)
        self.leave = nn.Linear(width, width)
        self.think = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, text: Tensor, said: Tensor) -> Tensor:
        x = self.enter(text) + self.places[: text.shape[1]]
        parts = self.attend(self.norm(x)).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=said[:, None])
        x = x + self.leave(mixed.transpose(1, 2).flatten(2))
        return x + self.think(x)


class Readers(nn.Module):
    """Several `readers` look at the words with a few learnt queries each, (B, readers, queries * 128)."""

    def __init__(self, width: int, readers: int, queries: int) -> None:
        super().__init__()
        self.readers = readers
        self.queries = nn.Parameter(0.5 * torch.randn(readers * queries, _KEY))
        self.keys = nn.Linear(width, _KEY)
        self.values = nn.Linear(TEXT_DIMENSION + width, _VALUE)

    def forward(self, text: Tensor, words: Tensor, said: Tensor) -> Tensor:
        scores = self.queries @ self.keys(words).transpose(1, 2) / _KEY**0.5 + said
        read = scores.softmax(-1) @ self.values(torch.cat([text, words], -1))
        return read.unflatten(1, (self.readers, -1)).flatten(2)


class Drawer(nn.Module):
    """What was read, (..., inputs), to latents of a `shape`: residual blocks and a narrow way out."""

    def __init__(self, inputs: int, width: int, blocks: int, rank: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.read = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in range(blocks)
        )
        self.narrow = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, rank), nn.GELU())
        self.draw = nn.Linear(rank, math.prod(shape))

    def forward(self, read: Tensor) -> Tensor:
        x = self.read(read)
        for block in self.blocks:
            x = x + block(x)
        return self.draw(self.narrow(x)).unflatten(-1, self.shape)


class LayoutPrior(nn.Module):
    """Caption embeddings (B, L, 384) to the mean latents (B, 16, 16, 16) of the pictures they fit, a blurred first guess.

    A regression without noise learns from hundreds of captions a second on two cores what a UNet, at eight pictures a
    second, has to find through its attention. One drawer draws the picture as a whole. Where a caption names several
    things, another draws each at half the size, and the caption says at which places it stands: a thing looks the same
    beside another, above one or thrice. Words of zeros, behind a caption's end, are not read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words = Words()
        width = self.words.norm.normalized_shape[0]
        self.read_whole = Readers(width, 1, 8)
        self.draw_whole = Drawer(8 * _VALUE, 640, 3, 448, LATENT_SHAPE)
        self.read_things = Readers(width, THINGS, 4)
        self.draw_thing = Drawer(4 * _VALUE, 512, 2, 320, PART_SHAPE)
        self.place = nn.Linear(8 * _VALUE, THINGS * len(PART_PLACES))

    def forward(self, text: Tensor) -> Tensor:
        # A finite number, so that a caption of zeros alone stays one too.
        said = torch.where(text.abs().sum(-1).gt(0).unsqueeze(1), 0.0, -1e4).to(text.dtype)
        words = self.words(text, said)
        read = self.read_whole(text, words, said).squeeze(1)
        things = self.draw_thing(self.read_things(text, words, said))
        places = self.place(read).unflatten(1, (len(PART_PLACES), THINGS)).sigmoid()
        parts = (places @ things.flatten(2)).unflatten(2, PART_SHAPE)
        return self.draw_whole(read) + at_places(parts)


def at_places(parts: Tensor) -> Tensor:
    """The sum of parts (B, 9, 16, 8, 8), each at its one of PART_PLACES, (B, 16, 16, 16)."""
    rest = LATENT_SIDE - PART_SIDE
    placed = [functional.pad(part, (x, rest - x, y, rest - y)) for part, (y, x) in zip(parts.unbind(1), PART_PLACES, strict=True)]
    return torch.stack(placed).sum(0)


def changed(layout: Tensor, change: Tensor) -> Tensor:
    """A layout (B, 16, 16, 16) as a sketch's change (B, 17, 16, 16) leaves it: latents and, last, their weight."""
    return layout * (1 - change[:, -1:]) + change[:, :-1]
