"""A studio in a process of its own: waiting until it serves."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import httpx
import pytest

PATIENCE = 180.0  # seconds; a machine that is busy with other tests takes its time


def await_ready(
    port: int,
    process: subprocess.Popen[Any],
    patience: float = PATIENCE,
    host: str = "127.0.0.1",
    answers: tuple[int, ...] = (200,),
) -> None:
    """Returns as soon as /ready answers 200, or another of `answers`; fails if the process ends or the time is over."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://{host}:{port}/ready", timeout=5).status_code in answers:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"the studio did not start: {'still silent' if process.poll() is None else f'exit status {process.returncode}'}")
