"""The data stage: icons to rendered images on disk, and the reader the other stages use.

A built folder holds `pictures.npy` (uint8, (N, S, S, 4): RGB as it looks on white, and alpha; S is 256 but for `icons`),
`scenes.jsonl`, `drawings.jsonl`, `concepts.jsonl` and `config.json`, which is written last.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hypersd_app.training.data.captions import Captioner
from hypersd_app.training.data.drawings import find_drawings
from hypersd_app.training.data.icons.libraries import load_libraries
from hypersd_app.training.data.icons.looks import inked, pastel, pixelated
from hypersd_app.training.data.icons.recolour import recolour
from hypersd_app.training.data.icons.render import nested_svg, on_white_with_alpha, render_svg
from hypersd_app.training.data.icons.sources import EMOJI_SETS, ICON_SETS, MAIN_SET, IconLibrary
from hypersd_app.training.data.scenes import Drawing, Placement, Scene, ScenePlanner, plan_scenes
from hypersd_app.training.data.words.concepts import Concept, load_concepts
from hypersd_app.training.data.words.tables import things

logger = logging.getLogger(__name__)
IMAGE_SIZE = 256
SPAN = 125  # images that a worker renders at a time, and that an interrupted build may lose


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Contents of a data set; `limit_concepts` keeps about that many, spread over all groups, for quick runs."""

    set_keys: tuple[str, ...] = tuple(key for key, row in ICON_SETS.items() if not row.held_out)
    singles_per_drawing: int = 3
    composed: dict[str, int] = field(
        default_factory=lambda: {"colour": 8500, "pair": 3400, "count": 1700, "size": 1000, "accessory": 1800}
    )
    main_share: int = 2  # compositions of the main set for each one of another set
    limit_concepts: int = 0
    part_colours: int = -1  # small in the middle: every composable drawing, the main set's in so many colours more; -1: none
    size: int = IMAGE_SIZE
    seed: int = 0
    workers: int = 2

    @property
    def composed_sets(self) -> tuple[str, ...]:
        """Icon sets in the order in which compositions cycle through them, interleaved with the main one."""
        return tuple(key for other in self.set_keys for key in ((MAIN_SET,) * self.main_share if other == MAIN_SET else (other,)))


PRESETS: dict[str, DataConfig] = {
    "pocket": DataConfig(),
    "tiny": DataConfig(
        set_keys=("noto", "twemoji"), singles_per_drawing=1, limit_concepts=60,
        composed={"colour": 20, "pair": 20, "count": 10, "size": 10, "accessory": 10}, part_colours=1, workers=1,
    ),
    # What the layout stage composes in latents: each thing once, and the main style's in three colours more.
    "parts": DataConfig(set_keys=EMOJI_SETS, singles_per_drawing=0, composed={}, part_colours=3, seed=2),
    # Every drawing once and large, from which the sticker autoencoder's images are put together.
    "icons": DataConfig(singles_per_drawing=1, composed={}, size=2 * IMAGE_SIZE),
    "tiny-icons": DataConfig(
        set_keys=("noto", "twemoji"), singles_per_drawing=1, limit_concepts=60, composed={}, size=2 * IMAGE_SIZE, workers=1
    ),
    # What is asked for and compared with, and what judges learn from: no stage of training reads either.
    "evaluation": DataConfig(
        singles_per_drawing=2, composed={"colour": 2000, "pair": 2000, "count": 1000, "size": 500, "accessory": 500}, seed=4
    ),
    "judge": DataConfig(
        singles_per_drawing=1, composed={"colour": 4000, "pair": 4000, "count": 2000, "size": 1000, "accessory": 1000}, seed=1
    ),
    "fxemoji": DataConfig(set_keys=("fxemoji",), composed={}, singles_per_drawing=3),
}  # fmt: skip


class SceneRenderer:
    """Renders scenes; each icon is drawn from its vectors once a colour and then placed."""

    def __init__(self, libraries: dict[str, IconLibrary], hues: dict[tuple[str, str], float], size: int = IMAGE_SIZE) -> None:
        self.libraries = libraries
        self.hues = hues
        self.size = size
        self._drawn = lru_cache(maxsize=4096)(self._draw)

    def _draw(self, set_key: str, name: str, colour: str) -> Image.Image:
        icon = self.libraries[set_key].icon(name)
        body = recolour(icon.body, self.hues[set_key, name], colour) if colour else icon.body
        if ICON_SETS[set_key].look == "ink":
            body = inked(body, icon.width)
        rgba = render_svg([nested_svg(icon, body, 0, 0, 256, 0)], self.size)
        return Image.fromarray(rgba).convert("RGBa")  # premultiplied, so that resizing leaves no dark fringe

    def rgba(self, scene: Scene) -> NDArray[np.uint8]:
        """The scene as (size, size, 4) uint8 with straight alpha."""
        canvas = Image.new("RGBa", (self.size, self.size))
        for item in scene.placements:
            self._place(canvas, self._drawn(scene.set_key, item.icon, item.colour), item)
        drawn = np.asarray(canvas.convert("RGBA"))
        look = ICON_SETS[scene.set_key].look
        return pixelated(drawn) if look == "pixel" else pastel(drawn) if look == "pastel" else drawn

    def _place(self, canvas: Image.Image, drawn: Image.Image, item: Placement) -> None:
        side = max(1, round(item.size * self.size))
        left, top = round(item.x * self.size - side / 2), round(item.y * self.size - side / 2)
        resized = np.asarray(drawn.resize((side, side), Image.Resampling.LANCZOS)).astype(np.uint16)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, self.size), min(top + side, self.size)
        if x0 >= x1 or y0 >= y1:
            return
        source = resized[y0 - top : y1 - top, x0 - left : x1 - left]
        under = np.asarray(canvas.crop((x0, y0, x1, y1))).astype(np.uint16)
        mixed = source + (under * (255 - source[..., 3:]) + 127) // 255
        canvas.paste(
            Image.frombuffer("RGBa", (x1 - x0, y1 - y0), mixed.clip(0, 255).astype(np.uint8).tobytes(), "raw", "RGBa", 0, 1),
            (x0, y0),
        )


def _hues(drawings: Iterable[Drawing]) -> dict[tuple[str, str], float]:
    return {(row.set_key, row.icon): row.hue for row in drawings}


def _render_span(job: tuple[Path, Path, DataConfig, int, int]) -> tuple[int, int]:
    """Worker: render scenes [start, stop) into the shared image file."""
    folder, packages, config, start, stop = job
    data, renderer = _opened(folder, packages, config.set_keys, config.size)
    images = np.load(folder / "pictures.npy", mmap_mode="r+")
    for index in range(start, stop):
        images[index] = on_white_with_alpha(renderer.rgba(data.scenes[index]))
    return start, stop


@lru_cache(maxsize=1)
def _opened(folder: Path, packages: Path, set_keys: tuple[str, ...], size: int) -> tuple[ImageDataset, SceneRenderer]:
    """What a worker needs for all its spans: reading the packages takes seconds."""
    data = ImageDataset(folder)
    return data, SceneRenderer(load_libraries(packages, set_keys), _hues(data.drawings), size)


def build(
    config: DataConfig, folder: Path, packages: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Plan and render a data set into `folder`, or resume an interrupted build; one finished with the same config is kept."""
    marker, begun = folder / "config.json", folder / "rendered.json"
    text = json.dumps(asdict(config), indent=1)
    if marker.exists() and marker.read_text(encoding="utf-8") == text:
        return
    folder.mkdir(parents=True, exist_ok=True)
    done = _rendered(begun, text)
    if done is None:
        marker.unlink(missing_ok=True)
        begun.unlink(missing_ok=True)
        _plan(config, folder, packages)
        done = set()
        begun.write_text(json.dumps({"config": text, "spans": []}), encoding="utf-8")
    total = len(ImageDataset(folder).scenes)
    starts = [start for start in range(0, total, SPAN) if start not in done]
    # Scenes stand in the order of their sets. Rendered in a mixed order, what an interrupted build leaves shows all of them.
    random.Random(config.seed).shuffle(starts)
    jobs = [(folder, packages, config, start, min(start + SPAN, total)) for start in starts]
    # Spawned: a forked worker inherits signal handlers and locks of a process that has threads.
    with ProcessPoolExecutor(config.workers, get_context("spawn")) as pool:
        for start, _ in pool.map(_render_span, jobs):
            done.add(start)
            begun.write_text(json.dumps({"config": text, "spans": sorted(done)}), encoding="utf-8")
            progress(min(len(done) * SPAN, total), total)
    marker.write_text(text, encoding="utf-8")


def _rendered(path: Path, config: str) -> set[int] | None:
    """Spans finished by an interrupted build of the same config; None if it stopped before planning."""
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return set(found["spans"]) if found["config"] == config else None


def _some(concepts: Sequence[Concept], limit: int) -> Sequence[Concept]:
    """About `limit` of the concepts that are emoji, and a quarter as many of the others; 0 is all."""
    if not limit:
        return concepts
    others = {thing.label for thing in things()}
    emoji = [concept for concept in concepts if concept.label not in others]
    rest = [concept for concept in concepts if concept.label in others]
    return [*emoji[:: max(1, len(emoji) // limit)], *rest[:: max(1, 4 * len(rest) // limit)]]


def _plan(config: DataConfig, folder: Path, packages: Path) -> None:
    """Write the scene plan and an empty image file of the right size."""
    libraries = load_libraries(packages, config.set_keys)
    concepts = _some(load_concepts(packages), config.limit_concepts)
    drawings = find_drawings(concepts, libraries)
    planner = ScenePlanner(concepts, drawings)
    scenes = list(
        plan_scenes(planner, config.set_keys, config.singles_per_drawing, config.composed, config.composed_sets, config.seed)
    )
    for key in config.set_keys if config.part_colours >= 0 else ():
        colours = config.part_colours if key == MAIN_SET else 0
        scenes.extend(planner.parts(key, colours, random.Random(f"{config.seed}:parts:{key}")))
    # Scenes of one icon stay together, so that each is drawn from its vectors once.
    scenes.sort(key=lambda scene: (scene.set_key, scene.placements[0].icon, scene.placements[0].colour))
    write_lines(folder / "concepts.jsonl", (asdict(row) for row in concepts))
    write_lines(folder / "drawings.jsonl", (asdict(row) for row in drawings))
    write_lines(folder / "scenes.jsonl", (scene.to_json() for scene in scenes))
    np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, (len(scenes), config.size, config.size, 4)).flush()


def write_lines(path: Path, rows: Iterable[dict[str, object]]) -> None:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read_lines(path: Path) -> Iterator[dict[str, object]]:
    """Read JSON lines."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


class ImageDataset:
    """A built data set, opened lazily."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def concepts(self) -> tuple[Concept, ...]:
        """The concept table."""
        return tuple(
            Concept(**{**row, **{key: tuple(row.get(key, ())) for key in ("names", "tags", "kinds")}})  # type: ignore[arg-type]
            for row in read_lines(self.folder / "concepts.jsonl")
        )

    @cached_property
    def drawings(self) -> tuple[Drawing, ...]:
        """Every concept as every set draws it."""
        return tuple(Drawing(**row) for row in read_lines(self.folder / "drawings.jsonl"))  # type: ignore[arg-type]

    @cached_property
    def scenes(self) -> tuple[Scene, ...]:
        """All scenes, in the order of the images."""
        return tuple(Scene.from_json(row) for row in read_lines(self.folder / "scenes.jsonl"))

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        """On white: uint8, (N, S, S, 3), mapped from disk."""
        return self.rgba[..., :3]

    @cached_property
    def rgba(self) -> NDArray[np.uint8]:
        """RGB as it looks on white, and alpha: uint8, (N, S, S, 4), mapped from disk."""
        return np.load(self.folder / "pictures.npy", mmap_mode="r")

    @cached_property
    def captioner(self) -> Captioner:
        """Writes captions for these scenes."""
        return Captioner(self.concepts, self.drawings)

    def indices(self, held_out: bool) -> NDArray[np.int64]:
        """Which images belong to the training split, or to the held-out one."""
        return np.flatnonzero([scene.held_out == held_out for scene in self.scenes])

    def weights(self, indices: NDArray[np.int64], main_weight: float, familiar_weight: float) -> NDArray[np.float64]:
        """How often to show each image, as probabilities that sum to 1: the main style and familiar concepts more."""
        familiar = [concept.familiar for concept in self.concepts]
        scenes = [self.scenes[index] for index in indices]
        main = np.array([scene.set_key == MAIN_SET for scene in scenes])
        known = np.array([all(familiar[item.concept] for item in scene.placements) for scene in scenes])
        weights = np.where(main, main_weight, 1.0) * np.where(known, familiar_weight, 1.0)
        return weights / weights.sum()

    def caption(self, index: int, seed: int, style: bool = True) -> str:
        """The caption of one image; `seed` picks the phrasing."""
        return self.captioner.caption(self.scenes[index], random.Random(f"{seed}:{index}"), style)
