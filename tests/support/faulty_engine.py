"""The fake engine with real faults on demand, for a process of its own: the prompt says what goes wrong."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from dataclasses import replace
from typing import Any

from hypersd_app.errors import ModelUnavailable
from hypersd_app.requests import GenerationRequest, GenerationResult
from tests.support.fake_engine import FakeEngine


class FaultyEngine(FakeEngine):
    """Dies, crashes, hangs or runs out of memory when a prompt begins with that word. Its images say which process drew."""

    def generate(self, request: GenerationRequest, progress: Any = None) -> GenerationResult:
        word = request.prompt.split()[0]
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "crash":
            ctypes.string_at(0)
        if word == "hang":
            time.sleep(1000)
        if word == "memory":
            bytearray(2**62)
        if word == "slow":
            time.sleep(1.0)
        return replace(super().generate(request, progress), backend=str(os.getpid()))


def build() -> FaultyEngine:
    """For `WorkerEngine`."""
    return FaultyEngine()


def cannot_build() -> FaultyEngine:
    """An engine that its settings do not allow."""
    raise ModelUnavailable("There is no such model.")
