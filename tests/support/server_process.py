"""A studio in a process of its own: waiting until it serves."""

from __future__ import annotations

import subprocess
import threading
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


def await_line(process: subprocess.Popen[bytes], line: str, patience: float = PATIENCE) -> None:
    """Returns as soon as the process has written `line`; fails if it ends before, which it is made to when the time is over."""
    assert process.stdout is not None
    over = threading.Timer(patience, process.kill)
    over.start()
    try:
        if not any(written.strip() == line.encode() for written in process.stdout):
            pytest.fail(f"the process ended, status {process.wait()}, before it wrote {line!r}")
    finally:
        over.cancel()
