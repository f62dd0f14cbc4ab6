"""Composes images of several things in latent space, from things that were rendered and encoded once: unlimited and free."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.models.shapes import LATENT_SIDE
from hypersd_app.training.data.dataset import DataConfig, ImageDataset
from hypersd_app.training.data.latents import LatentStore
from hypersd_app.training.data.scenes import Placement, Scene, ScenePlanner

KINDS = ("pair", "pair", "pair", "pair", "count", "count", "trio", "size")
_COLOURED = 0.3  # of the things in pairs, where they were rendered in other colours


@dataclass(frozen=True)
class Compositions:
    """Scenes of several things and their latents, composed from a data set's parts: single things, half-size and centred."""

    data: ImageDataset
    store: LatentStore
    blank: Tensor  # (16, 16, 16)

    @cached_property
    def _parts(self) -> dict[tuple[str, str, str], int]:
        """Image index by (icon set, icon, colour)."""
        rows = ((scene.set_key, scene.placements[0], index) for index, scene in enumerate(self.data.scenes) if scene.kind == "part")
        return {(key, item.icon, item.colour): index for key, item, index in rows}

    @cached_property
    def _colours(self) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for key, icon, colour in self._parts:
            if colour:
                found.setdefault((key, icon), []).append(colour)
        return found

    @cached_property
    def _planner(self) -> ScenePlanner:
        drawn = [row for row in self.data.drawings if (row.set_key, row.icon, "") in self._parts]
        return ScenePlanner(self.data.concepts, drawn)

    @cached_property
    def _turns(self) -> list[str]:
        """Icon sets to sample from, the main one repeated most often."""
        return [key for key in DataConfig().composed_sets if key in {part[0] for part in self._parts}]

    def any_scene(self, rng: random.Random) -> Scene:
        """A random composition from any set that has parts, most often the main one."""
        return self.scene(rng.choice(self._turns), rng)

    def scene(self, set_key: str, rng: random.Random) -> Scene:
        """One composition that is not held out."""
        while True:
            scene = self._planner.composed(rng.choice(KINDS), set_key, rng)
            if not scene.held_out and scene.relation != "big":
                return scene if scene.kind == "count" else self._coloured(scene, rng)

    def _coloured(self, scene: Scene, rng: random.Random) -> Scene:
        return replace(scene, placements=tuple(self._in_a_colour(scene.set_key, item, rng) for item in scene.placements))

    def _in_a_colour(self, set_key: str, item: Placement, rng: random.Random) -> Placement:
        colours = self._colours.get((set_key, item.icon))
        return replace(item, colour=rng.choice(colours)) if colours and rng.random() < _COLOURED else item

    def latents(self, scenes: Sequence[Scene]) -> Tensor:
        """float32 (B, 16, 16, 16)."""
        found = self.blank.repeat(len(scenes), 1, 1, 1)
        for row, scene in zip(found, scenes, strict=True):
            indices = [self._parts[scene.set_key, item.icon, item.colour] for item in scene.placements]
            for item, part in zip(scene.placements, self._things(np.asarray(indices)), strict=True):
                dy, dx = (round(LATENT_SIDE * (place - 0.5)) for place in (item.y, item.x))
                row += moved(part, torch.zeros(()), dy, dx)
        return found

    def _things(self, indices: NDArray[np.int64]) -> Tensor:
        """Each part's latents minus those of a blank image."""
        return torch.from_numpy(self.store[indices].astype(np.float32)) - self.blank


def moved(image: Tensor, background: Tensor, dy: int, dx: int) -> Tensor:
    """An image (C, H, W) moved by whole pixels; `background` (broadcastable to it) comes in from outside."""
    height, width = image.shape[1:]
    found = background.expand_as(image).clone()
    found[:, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = image[
        :, max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return found
