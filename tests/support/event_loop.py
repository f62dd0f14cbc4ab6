"""Coroutines in tests: each on an event loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def run_apart(coroutine: Coroutine[object, object, T]) -> T:
    """`asyncio.run` in a thread of its own: Playwright's fixtures, which last to the end of a run of tests, leave the main
    thread a running loop, and there it would raise."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
