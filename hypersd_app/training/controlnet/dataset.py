"""Images with a drawing of each, for all that learns to follow sketches: as they are, and others anywhere on the page."""

from __future__ import annotations

import json
import random
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.models.autoencoders import PocketVae
from hypersd_app.models.control_image import control_tensor
from hypersd_app.models.layout import LayoutPrior
from hypersd_app.models.shapes import LATENT_SIDE, MAX_TOKENS
from hypersd_app.training.core.device import to_device
from hypersd_app.training.core.loop import Progress
from hypersd_app.training.data.augment import bent
from hypersd_app.training.data.compositions import moved
from hypersd_app.training.data.dataset import IMAGE_SIZE, ImageDataset
from hypersd_app.training.data.latents import blank_latents, encode
from hypersd_app.training.data.scenes import Scene
from hypersd_app.training.data.scribbles import Share, scribble, silhouette
from hypersd_app.training.data.words.grammar import with_article
from hypersd_app.training.pocket.layout_prior import fills_the_image, remembered
from hypersd_app.training.pocket.teacher import with_nearest_layouts
from hypersd_app.training.workspace import Workspace

CELL = IMAGE_SIZE // LATENT_SIDE  # px of one latent
FORM = 3  # of the drawings; another number when they are made in another way
RECOLOURED = Share(filled=0.25, outlined=0.5)  # of images in unusual colours: those are what ink is for
_INKED = 60  # between the strongest and weakest channel of a stroke that has a colour
_MOSTLY = 0.4  # of the ink, from which on its colour is what a drawing asks for
_COLOURS_LEFT_TO_THE_INK = 0.8
_SPAN = 100  # images a worker draws at once
_TURN = 12.0  # degrees, standard deviation
_STRETCH = 0.2  # of the logarithm of width to height
_SIZES = (0.25, 0.9)  # of the page, the longer side of a thing that is drawn anywhere
_MARGIN = 6  # px of white that stay around it


@dataclass(frozen=True, kw_only=True)
class DrawingConfig:
    """`anywhere`: how many images are drawn again elsewhere (`put_anywhere`), and `anywhere_share` how much of a batch they are.

    The weights say how often images of the main set, of familiar things and of things in unusual colours are shown beside
    others. `most_cells`: how far an image and its strokes are moved together, in latent cells of 16 px. `bent`: the share of
    images of a single thing that take yet another shape each time they are shown. `candidates`: of so many random codes of a
    layout the one goes with an image whose layout is nearest; few, since a seed knows nothing of the sketch.
    """

    anywhere: int = 16_000
    anywhere_share: float = 0.6
    main_weight: float = 4.0
    familiar_weight: float = 5.0
    recoloured_weight: float = 0.4
    most_cells: int = 2
    bent: float = 0.0
    candidates: int = 3
    seed: int = 0
    workers: int = 2


@dataclass(frozen=True)
class Batch:
    """Latents float32 (B, 16, 16, 16), control images (B, 3, 256, 256), caption embeddings (B, 32, 384).

    With a code of a layout embeddings are (B, 33, 384), see `with_code`. `things`, int64 (B,), are the concepts that the
    captions name; -1 for captions of several, of unusual colours, or dropped.
    """

    latents: Tensor
    control: Tensor
    text: Tensor
    things: Tensor

    def rows(self, chosen: Tensor | slice) -> Batch:
        """Some rows."""
        return Batch(self.latents[chosen], self.control[chosen], self.text[chosen], self.things[chosen])

    def on_device(self) -> Batch:
        """The batch on the training device."""
        return Batch(*to_device(self.latents, self.control, self.text, self.things))


@dataclass(frozen=True)
class DrawnFrom:
    """The images themselves, uint8 (N, 256, 256, 4): those of the data that are `whole`, then those put anywhere.

    RGB is as it looks on white, the last channel alpha.
    """

    data: ImageDataset
    whole: NDArray[np.int64]
    small: NDArray[np.uint8]

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        start = len(self.whole)
        return np.ascontiguousarray(self.data.rgba[self.whole[row]] if row < start else self.small[row - start])


@dataclass(frozen=True, kw_only=True)
class DrawnImages:
    """The training split's images: latents float16 (N, 16, 16, 16), controls uint8 (N, 256, 256, 3), captions embedded."""

    config: DrawingConfig
    images: DrawnFrom
    latents: NDArray[np.float16]
    controls: NDArray[np.uint8]
    weights: Tensor
    captions: list[str]
    embeddings: Tensor  # (N + 1, L, 384); the last is of ""
    things: Tensor  # int64 (N + 1,), as in `Batch`
    blank: Tensor  # latents of white paper
    autoencoder: PocketVae
    prior: LayoutPrior

    @staticmethod
    def of(config: DrawingConfig, workspace: Workspace, progress: Progress) -> DrawnImages:
        """Drawn, encoded and embedded at first use, which takes minutes; kept beside the workspace's latents."""
        data, folder = workspace.data, workspace.drawings_path
        whole = data.indices(False)
        chances = data.weights(whole, config.main_weight, config.familiar_weight)
        elsewhere = put_elsewhere(data, whole, chances, config)
        _draw(data, whole, elsewhere, folder, config, progress)
        controls = np.load(folder / "controls.npy", mmap_mode="r")
        small = _encoded_once(workspace, folder, progress)
        indices = np.concatenate([whole, elsewhere])
        captions = [caption(data, int(index), control, config.seed) for index, control in zip(indices, controls, strict=True)]
        share = config.anywhere_share
        weights = np.concatenate([(1 - share) * chances, np.full(len(elsewhere), share / len(elsewhere))])
        weights[[_recoloured(data.scenes[index]) for index in indices]] *= config.recoloured_weight
        return DrawnImages(
            config=config, images=DrawnFrom(data, whole, np.load(folder / "small.npy", mmap_mode="r")),
            latents=np.concatenate([workspace.latents[whole], small]), controls=controls,
            weights=torch.from_numpy(weights), captions=captions,
            embeddings=remembered([*captions, ""], workspace.embed, folder, progress),
            things=torch.tensor([*(_thing(data.scenes[index]) for index in indices), -1]),
            blank=blank_latents(workspace.autoencoder),
            autoencoder=workspace.autoencoder,
            prior=workspace.prior(),
        )  # fmt: skip

    def batch(self, count: int, caption_drop: float, seed: int, step: int) -> Batch:
        """A pure function of seed and step. Dropped captions are empty."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator).sort().values
        latents, control = self.rows(chosen)
        rng = np.random.default_rng((seed, step))
        moved_together(latents, control, self.blank, self.config.most_cells, rng)
        to_bend = (self.things[chosen] >= 0) & torch.from_numpy(rng.random(count) < self.config.bent)
        self._bend(latents, control, chosen, to_bend, rng)
        dropped = torch.rand(count, generator=generator) < caption_drop
        shown = torch.where(dropped, len(self.captions), chosen)
        text = with_nearest_layouts(self.prior, self.text(shown), latents, ~dropped, self.config.candidates, generator)
        return Batch(latents, control, text, self.things[shown])

    def rows(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Latents and control images of some."""
        rows = chosen.numpy()
        return torch.from_numpy(self.latents[rows].astype(np.float32)), control_tensor(torch.from_numpy(self.controls[rows]))

    def _bend(self, latents: Tensor, control: Tensor, chosen: Tensor, to_bend: Tensor, rng: np.random.Generator) -> None:
        """Give some of the `chosen` rows other shapes, in place."""
        rows = chosen[to_bend].tolist()
        if not rows:
            return
        pairs = [bent(self.images[row], np.ascontiguousarray(self.controls[row]), rng) for row in rows]
        images, drawn = (np.stack(parts) for parts in zip(*pairs, strict=True))
        latents[to_bend] = torch.from_numpy(encode(self.autoencoder, images).astype(np.float32))
        control[to_bend] = control_tensor(torch.from_numpy(drawn))

    def text(self, chosen: Tensor) -> Tensor:
        """Embeddings of some captions, padded as pipelines pad them."""
        text = self.embeddings[chosen].float()
        return torch.nn.functional.pad(text, (0, 0, 0, MAX_TOKENS - text.shape[1]))


def moved_together(latents: Tensor, control: Tensor, blank: Tensor, most_cells: int, rng: np.random.Generator) -> None:
    """Move three of four images, in place, each with its strokes: latents (B, 16, 16, 16) by whole cells, control by 16 px each.

    What is left behind takes the `blank` image's latents (16, 16, 16), and black.
    """
    for row in np.flatnonzero(rng.random(len(latents)) < 0.75):
        dy, dx = (int(cells) for cells in rng.integers(-most_cells, most_cells + 1, 2))
        latents[row] = moved(latents[row], blank, dy, dx)
        control[row] = moved(control[row], torch.zeros(()), CELL * dy, CELL * dx)


def caption(data: ImageDataset, index: int, control: NDArray[np.uint8], seed: int) -> str:
    """A caption that mostly leaves an unusual colour to the ink, where that has it: else ink would not matter.

    Where most of it is black the words have to say so, or things in black ink would come out in any colour.
    """
    scene, rng = data.scenes[index], random.Random(f"{seed}:{index}")
    if _recoloured(scene) and coloured_share(control) >= _MOSTLY and rng.random() < _COLOURS_LEFT_TO_THE_INK:
        return with_article(data.concepts[scene.placements[0].concept].noun)
    return data.caption(index, seed)


def coloured_share(control: NDArray[np.uint8]) -> float:
    """How much of a drawing's ink has a colour."""
    strokes = control[::2, ::2].reshape(-1, 3)
    strokes = strokes[strokes.max(-1) > 128]
    return float((np.ptp(strokes, axis=-1) > _INKED).mean()) if len(strokes) else 0.0


def _recoloured(scene: Scene) -> bool:
    return len(scene.placements) == 1 and bool(scene.placements[0].colour)


def _thing(scene: Scene) -> int:
    """The one concept that the scene shows in its usual colours, -1 where there is none."""
    return scene.placements[0].concept if len(scene.placements) == 1 and not scene.placements[0].colour else -1


def put_elsewhere(
    data: ImageDataset, whole: NDArray[np.int64], chances: NDArray[np.float64], config: DrawingConfig
) -> NDArray[np.int64]:
    """Which images are put anywhere, of `whole` with its `chances`: those whose words say nothing of size or place."""
    scenes = [data.scenes[index] for index in whole]
    free = chances * np.array([fills_the_image(scene) and scene.kind != "size" for scene in scenes])
    return np.sort(np.random.default_rng(config.seed).choice(whole, config.anywhere, p=free / free.sum()))


def put_anywhere(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """What stands on a white image with alpha (256, 256, 4), whole, but smaller, elsewhere, turned, stretched and often mirrored.

    So what the words make expect has another shape than what is drawn, as with people's drawings, and the ink is to win.
    """
    turn, stretch = np.deg2rad(rng.normal(0, _TURN)), np.exp(rng.normal(0, _STRETCH))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cosine, sine = np.cos(turn), np.sin(turn)
    shape = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([mirror * stretch**0.5, stretch**-0.5])
    places = cv2.findNonZero(silhouette(np.ascontiguousarray(image[..., :3])))
    corners = np.array([[0, 0], [IMAGE_SIZE, IMAGE_SIZE]]) if places is None else places.reshape(-1, 2)
    extent = np.ptp(corners @ shape.T, axis=0)
    scale = IMAGE_SIZE * rng.uniform(*_SIZES) / max(*extent, 1.0)
    free = (IMAGE_SIZE - 2 * _MARGIN - extent * scale).clip(0)
    shape *= scale
    shift = _MARGIN + rng.random(2) * free - (corners @ shape.T).min(0)
    # Blurred first where it shrinks much: warping alone would skip pixels.
    smooth = cv2.GaussianBlur(image, (0, 0), 0.35 / scale) if scale < 0.7 else image
    move = np.concatenate([shape, shift[:, None]], 1)
    return cv2.warpAffine(smooth, move, (IMAGE_SIZE, IMAGE_SIZE), flags=cv2.INTER_LINEAR, borderValue=(255, 255, 255, 0))


@dataclass(frozen=True, kw_only=True)
class _Span:
    """What a worker draws: images `indices`, into the rows from `start` on. Those from row `small_start` on are put anywhere."""

    data: Path
    folder: Path
    indices: NDArray[np.int64]
    start: int
    small_start: int
    seed: int


def _draw(
    data: ImageDataset,
    whole: NDArray[np.int64],
    elsewhere: NDArray[np.int64],
    folder: Path,
    config: DrawingConfig,
    progress: Progress,
) -> None:
    """Fill `controls.npy`, and `small.npy` with the images put anywhere, once for the same images and seed."""
    marker = folder / "config.json"
    built = zlib.crc32((data.folder / "config.json").read_bytes())
    text = json.dumps({"form": FORM, "data": built, "seed": config.seed, "elsewhere": zlib.crc32(elsewhere.tobytes())})
    if marker.exists() and marker.read_text(encoding="utf-8") == text:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("latents.npy", "config.json"):
        (folder / name).unlink(missing_ok=True)
    indices = np.concatenate([whole, elsewhere])
    side = (IMAGE_SIZE, IMAGE_SIZE, 3)
    np.lib.format.open_memmap(folder / "controls.npy", "w+", np.uint8, (len(indices), *side)).flush()
    np.lib.format.open_memmap(folder / "small.npy", "w+", np.uint8, (len(elsewhere), IMAGE_SIZE, IMAGE_SIZE, 4)).flush()
    spans = [
        _Span(
            data=data.folder,
            folder=folder,
            indices=indices[start : start + _SPAN],
            start=start,
            small_start=len(whole),
            seed=config.seed,
        )
        for start in range(0, len(indices), _SPAN)
    ]
    # Spawned: a forked worker inherits signal handlers and locks of a process that has threads.
    with ProcessPoolExecutor(config.workers, get_context("spawn")) as pool:
        for done, _ in enumerate(pool.map(_draw_span, spans)):
            progress(done, len(spans), {})
    marker.write_text(text, encoding="utf-8")


def _draw_span(span: _Span) -> None:
    cv2.setNumThreads(1)
    data = ImageDataset(span.data)
    controls = np.load(span.folder / "controls.npy", mmap_mode="r+")
    small = np.load(span.folder / "small.npy", mmap_mode="r+")
    for row, index in enumerate(span.indices, span.start):
        rng = np.random.default_rng((span.seed, row))
        image = np.ascontiguousarray(data.rgba[index])
        if row >= span.small_start:
            image = small[row - span.small_start] = put_anywhere(image, rng)
        controls[row] = scribble(
            np.ascontiguousarray(image[..., :3]), rng, RECOLOURED if _recoloured(data.scenes[index]) else Share()
        )


def _encoded_once(workspace: Workspace, folder: Path, progress: Progress) -> NDArray[np.float16]:
    """Latents of the images put anywhere."""
    path = folder / "latents.npy"
    if not path.exists():
        images = np.load(folder / "small.npy", mmap_mode="r")
        parts = []
        for start in range(0, len(images), 32):
            parts.append(encode(workspace.autoencoder, images[start : start + 32]))
            progress(start, len(images), {})
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.concatenate(parts))
        partial.replace(path)  # a run that is killed while it writes leaves nothing that looks whole
    return np.load(path)
