"""Latents and text of photographs encoded once, into shards, and a data source that reads them: no encoder runs in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hypersd_app.errors import InvalidRequest
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.contact_sheet import from_uint8
from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.data.aspect_buckets import bucket_sizes, fitted, nearest_bucket
from hypersd_app.training.data.shards import INDEX, Shards, ShardWriter

EMPTY = "empty"  # the name of the sample that holds the empty caption's text
Drawn = tuple[Tensor, list[str]]


@torch.no_grad()
def write_shards(source: Any, family: str, folder: Path, buckets: bool, progress: Callable[[int, int], None]) -> None:
    """Every image of a FolderSource as moments of its latents, float16 (2C, h, w), with its caption's text.

    With `buckets` an image keeps about its aspect ratio, else it is cut to a square.
    """
    side, vae, unet = source.images.size, source.pipeline.vae, source.pipeline.unet
    halvings = len(vae.config.block_out_channels) + len(unet.config.block_out_channels) - 2
    sizes = bucket_sizes(side, 2**halvings) if buckets else [(side, side)]
    with ShardWriter(folder, {"family": family, "side": side}) as shards:
        shards.add(_text(source, ""), {"caption": "", "kind": EMPTY})
        for index, path in enumerate(source.images.files):
            image = source.images.open(index)
            image, _ = fitted(image, nearest_bucket(image.size, sizes))
            pixels = from_uint8(np.asarray(image)[None]).to(source.processes.device, vae.dtype)
            found = vae.encode(pixels).latent_dist
            moments = torch.cat([found.mean, found.std], 1)[0] * vae.config.scaling_factor
            caption = source.images.caption(index)
            arrays = {"moments": _half(moments), **_text(source, caption)}
            shards.add(arrays, {"caption": caption, "size": list(image.size), "name": path.name})
            progress(index + 1, len(source.images.files))


def _text(source: Any, caption: str) -> dict[str, Any]:
    found = source.condition([caption])
    return {"text": _half(found.embeddings[0]), **({} if found.pooled is None else {"pooled": _half(found.pooled[0])})}


def _half(tensor: Tensor) -> Any:
    return tensor.cpu().numpy().astype(np.float16)


def is_cache(folder: Path) -> bool:
    """Whether a folder holds shards in place of images."""
    return (folder / INDEX).exists()


class CachedSource:
    """A data source over shards. A step's batch comes from one bucket; the next one is read in the background meanwhile.

    The last `held_out` samples are for validation alone. Raises InvalidRequest for shards of another family.
    """

    def __init__(
        self, pipeline: Any, shards: Shards, family: str, *, caption_drop: float, seed: int, processes: Processes, held_out: int = 0
    ) -> None:
        if shards.told["family"] != family:
            raise InvalidRequest("images", str(shards.folder), f"shards made for {family}")
        if held_out >= len(shards) - 1:
            raise InvalidRequest("validation", held_out, f"fewer than the {len(shards) - 1} images")
        self.pipeline, self.shards, self.caption_drop, self.seed, self.processes = pipeline, shards, caption_drop, seed, processes
        self.side: int = shards.told["side"]
        pipeline.vae.to(processes.device).eval().requires_grad_(False)
        pipeline.vae.enable_gradient_checkpointing()
        images = range(1, len(shards))  # 0 is the empty caption
        self._held_out = images[len(images) - held_out :]
        self._buckets: dict[tuple[int, int], list[int]] = {}
        for index in images[: len(images) - held_out]:
            self._buckets.setdefault(tuple(shards.samples[index]["size"]), []).append(index)
        self._by_caption = {sample["caption"]: index for index, sample in enumerate(shards.samples)}
        self._reader = ThreadPoolExecutor(1, "shards")
        self._next: tuple[tuple[int, int], Future[Drawn]] | None = None

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The buckets that have images, (width, height)."""
        return sorted(self._buckets)

    def batch(self, step: int, total: int) -> Drawn:
        waiting, self._next = self._next, None
        found = waiting[1].result() if waiting is not None and waiting[0] == (step, total) else self._read(step, total)
        self._next = ((step + 1, total), self._reader.submit(self._read, step + 1, total))
        return found

    def _read(self, step: int, total: int) -> Drawn:
        rng = np.random.default_rng((self.seed, step))
        buckets = list(self._buckets.values())
        sizes = np.array([len(bucket) for bucket in buckets])
        chosen = rng.choice(buckets[int(rng.choice(len(buckets), p=sizes / sizes.sum()))], size=total)
        captions = ["" if rng.random() < self.caption_drop else self.shards.samples[index]["caption"] for index in chosen]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step % 2**40)
        return self._latents(chosen.tolist(), generator), captions

    def _latents(self, indices: Sequence[int], generator: torch.Generator) -> Tensor:
        moments = torch.stack([torch.from_numpy(self.shards.array(index, "moments")).float() for index in indices])
        mean, deviation = moments.chunk(2, dim=1)
        return mean + deviation * torch.randn(mean.shape, generator=generator)

    def validation(self, count: int) -> Drawn:
        """Held-out images, of one size: that of the first."""
        size = self.shards.samples[self._held_out[0]]["size"]
        chosen = [index for index in self._held_out if self.shards.samples[index]["size"] == size][:count]
        return self._latents(chosen, torch.Generator().manual_seed(self.seed)), self.captions(chosen)

    def captions(self, indices: Sequence[int]) -> list[str]:
        """Of samples."""
        return [self.shards.samples[index]["caption"] for index in indices]

    def first_captions(self, count: int) -> list[str]:
        """Different captions, for previews."""
        return list(dict.fromkeys(self.captions(range(1, min(len(self.shards), count + 1)))))

    def condition(
        self, captions: Sequence[str], *, x0: Tensor | None = None, noise: Tensor | None = None, stream: RandomStream | None = None
    ) -> Conditioning:
        """Sizes are those of the latents given, in pixels. Raises InvalidRequest for a caption that is not in the shards."""
        for caption in captions:
            if caption not in self._by_caption:
                raise InvalidRequest("caption", caption, f"captions of {self.shards.folder}")
        indices = [self._by_caption[caption] for caption in captions]
        device = self.processes.device
        text = torch.stack([torch.from_numpy(self.shards.array(index, "text")).float() for index in indices]).to(device)
        if "pooled" not in self.shards.samples[0]["places"]:
            return Conditioning(text)
        pooled = torch.stack([torch.from_numpy(self.shards.array(index, "pooled")).float() for index in indices]).to(device)
        latents = x0 if x0 is not None else noise
        factor = 2 ** (len(self.pipeline.vae.config.block_out_channels) - 1)
        height, width = (self.side, self.side) if latents is None else (edge * factor for edge in latents.shape[2:])
        sizes = torch.tensor([(height, width, 0, 0, height, width)], dtype=torch.float32, device=device)
        return Conditioning(text, pooled, sizes.expand(len(captions), 6))

    def decode(self, latents: Tensor) -> Tensor:
        vae = self.pipeline.vae
        with self.processes.autocast():
            return vae.decode((latents / vae.config.scaling_factor).to(vae.device, vae.dtype), return_dict=False)[0]
