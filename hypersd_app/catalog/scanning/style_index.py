"""What style files said when they were last read, kept on disk: a start reads only those that are new or were changed.

Reading the header of a LoRA takes some milliseconds, which for thousands of files is the better part of a minute.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from hypersd_app.catalog.files import Stamp, write_whole
from hypersd_app.catalog.scanning.sidecars import Sidecar
from hypersd_app.catalog.specs import StyleSpec
from hypersd_app.errors import ModelUnavailable

logger = logging.getLogger(__name__)

NAME = "styles.json"
FEWEST = 100  # files; fewer are read in no time
LARGEST = 256 * 1024 * 1024  # bytes
TEXTS = ("name", "title", "family", "trigger", "preview")
LISTS = ("notes", "aliases", "tags", "hashes")


@cache
def reader_version() -> str:
    """Another one whenever the code that reads style files is another: what it said before counts no longer."""
    here = Path(__file__).parent
    sources = [*sorted((here.parent / "lora").glob("*.py")), here / "scan.py", here.parent / "specs.py", Path(__file__)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources if path.exists())).hexdigest()[:16]


class StyleIndex:
    """Rows of files by path. Thread-safe; `folder` None keeps them in memory alone."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / NAME
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, Any]] = {}
        self._layers: list[tuple[str, ...]] = []
        self._numbers: dict[tuple[str, ...], int] = {}
        self._changed = False
        self._load()

    def get(self, path: Path, stamp: Stamp, family: str, beside: Sidecar) -> StyleSpec | None:
        """The row of this version of a file, None if it was not read yet. Raises ModelUnavailable if it could not be used."""
        with self._lock:
            row = self._rows.get(str(path))
        if row is None or row["key"] != key_of(stamp, family, beside):
            return None
        if row["error"]:
            raise ModelUnavailable(row["error"])
        kept: dict[str, Any] = {name: row[name] for name in TEXTS} | {name: tuple(row[name]) for name in LISTS}
        return StyleSpec(**kept, rank=row["rank"], modules=self._layers[row["layers"]], path=path)

    def keep_only(self, paths: Collection[Path]) -> None:
        """Forget the files that are gone."""
        there = {str(path) for path in paths}
        with self._lock:
            gone = self._rows.keys() - there
            self._rows = {path: row for path, row in self._rows.items() if path in there}
            self._changed = self._changed or bool(gone)

    def put(self, path: Path, key: str, found: StyleSpec | ModelUnavailable) -> None:
        """Remember what a file said, or why it can't be used."""
        row: dict[str, Any] = {"key": key, "error": str(found) if isinstance(found, ModelUnavailable) else ""}
        with self._lock:
            if isinstance(found, StyleSpec):
                values = asdict(replace(found, modules=()))
                row |= {name: values[name] for name in (*TEXTS, *LISTS, "rank")} | {"layers": self._number(found.modules)}
            self._rows[str(path)] = row
            self._changed = True

    def _number(self, layers: tuple[str, ...]) -> int:
        """Most files change one of a few sets of layers: each is kept once."""
        if layers not in self._numbers:
            self._numbers[layers] = len(self._layers)
            self._layers.append(layers)
        return self._numbers[layers]

    def _load(self) -> None:
        try:
            if self._path is None or self._path.stat().st_size > LARGEST:
                return
            found = json.loads(self._path.read_text(encoding="utf-8"))
            if found["reader"] != reader_version():
                return
            layers = [tuple(str(name) for name in row) for row in found["layers"]]
            rows = {str(path): row for path, row in found["files"].items() if sound(row, len(layers))}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return  # not there yet, of another version or damaged: all is read again
        self._layers, self._rows = layers, rows
        self._numbers = {names: number for number, names in enumerate(layers)}

    def save(self) -> None:
        """Write it, in one rename; a folder that can't be written to costs the next start its time, no more."""
        with self._lock:
            if self._path is None or not self._changed or len(self._rows) < FEWEST:
                return
            self._changed = False
            text = json.dumps({"reader": reader_version(), "layers": self._layers, "files": self._rows})
        try:
            write_whole(self._path, text)
        except OSError as error:
            logger.warning("what style files say is not kept: %s", error)


def key_of(stamp: Stamp, family: str, beside: Sidecar) -> str:
    """What a row depends on, beside the code that read it."""
    return hashlib.sha256(repr((tuple(stamp), family, beside)).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def sound(row: object, layers: int) -> bool:
    """Whether a row has all that it needs: files may be damaged."""
    if not isinstance(row, Mapping) or not isinstance(row.get("key"), str) or not isinstance(row.get("error"), str):
        return False
    if row["error"]:
        return True
    texts = all(isinstance(row.get(name), str) for name in TEXTS)
    lists = all(isinstance(row.get(name), list) and all(isinstance(text, str) for text in row[name]) for name in LISTS)
    numbers = all(type(row.get(name)) is int for name in ("rank", "layers"))
    return texts and lists and numbers and 0 <= row["layers"] < layers
