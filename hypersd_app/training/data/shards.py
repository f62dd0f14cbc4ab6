"""Tar files of named arrays, as webdataset reads them, with an index beside them by which any sample is found at once.

Members of one sample share what comes before the first dot: `000012.latent.npy`, `000012.text.npy`, `000012.json`.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hypersd_app.errors import ModelUnavailable

INDEX = "index.json"
SHARD_BYTES = 256 * 1024**2


class ShardWriter:
    """Samples into `folder/00000.tar` and so on; leave the `with` block to write the index, without which nothing counts."""

    def __init__(self, folder: Path, told: Mapping[str, Any], shard_bytes: int = SHARD_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX).unlink(missing_ok=True)
        self.folder, self.told, self.shard_bytes = folder, dict(told), shard_bytes
        self.samples: list[dict[str, Any]] = []
        self._shards = 0
        self._tar: tarfile.TarFile | None = None
        self._written = 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()
        if error is None:
            text = json.dumps({**self.told, "samples": self.samples})
            partial = self.folder / "index.partial"
            partial.write_text(text, encoding="utf-8")
            partial.replace(self.folder / INDEX)

    def add(self, arrays: Mapping[str, NDArray[Any]], note: Mapping[str, Any]) -> None:
        """One sample: arrays by name, and what the index keeps of it."""
        if self._tar is None or self._written > self.shard_bytes:
            self._close()
            self._tar = tarfile.open(self.folder / f"{self._shards:05d}.tar", "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed when full
            self._shards, self._written = self._shards + 1, 0
        key, places = f"{len(self.samples):08d}", {}
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            places[name] = [self._member(f"{key}.{name}.npy", content.getvalue()), content.getbuffer().nbytes]
        self._member(f"{key}.json", json.dumps(note).encode())
        self.samples.append({**note, "shard": self._shards - 1, "places": places})

    def _member(self, name: str, content: bytes) -> int:
        """Appends a file; returns where its content begins."""
        assert self._tar is not None
        info = tarfile.TarInfo(name)
        info.size = len(content)
        begins = self._tar.offset + tarfile.BLOCKSIZE
        self._tar.addfile(info, io.BytesIO(content))
        self._written += len(content)
        return begins

    def _close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None


class Shards:
    """What `ShardWriter` left in a folder. Raises ModelUnavailable where it was not finished."""

    def __init__(self, folder: Path) -> None:
        try:
            self.told: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelUnavailable(f"{folder} holds no finished shards: run `train shards` again.") from error
        self.folder = folder
        self.samples: list[dict[str, Any]] = self.told.pop("samples")

    def __len__(self) -> int:
        return len(self.samples)

    def array(self, index: int, name: str) -> NDArray[Any]:
        """An array of a sample, read from its place in the tar file."""
        sample = self.samples[index]
        offset, size = sample["places"][name]
        with (self.folder / f"{sample['shard']:05d}.tar").open("rb") as file:
            file.seek(offset)
            return np.load(io.BytesIO(file.read(size)))
