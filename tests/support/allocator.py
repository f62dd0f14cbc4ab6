"""Heaps of this process, and an engine that says how many its process has."""

from __future__ import annotations

import ctypes
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hypersd_app.requests import GenerationRequest, GenerationResult
from hypersd_app.system import c_library
from tests.support.fake_engine import FakeEngine

THREADS = 8


def heaps() -> int:
    """How many glibc's allocator has, 0 for other C libraries."""
    library = c_library()
    if library is None or not hasattr(library, "malloc_info"):
        return 0
    library.fopen.restype = ctypes.c_void_p
    with tempfile.NamedTemporaryFile() as told:
        file = ctypes.c_void_p(library.fopen(told.name.encode(), b"w"))
        library.malloc_info(0, file)
        library.fclose(file)
        return Path(told.name).read_text(encoding="ascii").count("<heap ")


class HungryEngine(FakeEngine):
    """Allocates on the thread that draws, and waits for `THREADS` calls, each of which needs a thread of its own for that."""

    def __init__(self) -> None:
        super().__init__()
        self._together = threading.Barrier(THREADS)

    def generate(self, request: GenerationRequest, progress: Any = None) -> GenerationResult:
        """An image of the fake engine, once all are there."""
        pixels = [np.ones(1000) for _ in range(100)]
        self._together.wait(30)
        assert pixels
        return super().generate(request, progress)

    def status(self) -> Mapping[str, Any]:
        """Of this process."""
        return {"backend": "fake", "heaps": heaps(), "threads": threading.active_count()}


def build() -> HungryEngine:
    """For `WorkerEngine`."""
    return HungryEngine()
