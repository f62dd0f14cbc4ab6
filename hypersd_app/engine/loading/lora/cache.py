"""The LoRA files that were read last."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from cachetools import LRUCache

from hypersd_app.engine.loading.fingerprint import Fingerprint, file_stamp
from hypersd_app.engine.loading.lora.reader import Factors, read_factors
from hypersd_app.errors import ModelUnavailable


@dataclass(frozen=True)
class StyleKey:
    """One version of a style file: a file that is replaced has another key, and acts from the next image on."""

    path: Path
    stamp: Fingerprint


class FactorCache:
    """The last LoRA files read, so that moving a weight slider reads nothing."""

    def __init__(self, capacity: int = 8) -> None:
        self._entries: LRUCache[StyleKey, Factors] = LRUCache(capacity)
        self._lock = threading.Lock()

    def get(self, path: Path) -> tuple[StyleKey, Factors]:
        """The factors in `path` and the key of this version of it; read again if the file changed. Raises ModelUnavailable."""
        key = StyleKey(path, file_stamp(path))
        if not key.stamp:
            raise ModelUnavailable(f"{path.name} is gone.")
        with self._lock:
            factors = self._entries.get(key)
            if factors is None:
                factors = self._entries[key] = read_factors(path)
            return key, factors
