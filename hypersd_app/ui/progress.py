"""A long run told step by step: what the engine reports by callback, as an iterator that a page can show."""

from __future__ import annotations

import contextvars
import queue
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image

from hypersd_app.ui.i18n.texts import text

STEP = re.compile(r"Step (\d+) of (\d+)")  # as the engine, which speaks English, reports one

Result = TypeVar("Result")
Progress = Callable[..., None]  # (share, words), and now and then (share, words, picture)


@dataclass(frozen=True)
class Step:
    """How far a run is, 0..1, in words, and what the picture looks like by now if that is known."""

    share: float
    note: str
    picture: Image.Image | None = None


def with_steps(run: Callable[[Progress], Result]) -> Iterator[Step | Result]:
    """Run `run(progress)` in a thread; yields each Step, then the result. Raises what `run` raises."""
    reports: queue.Queue[tuple[str, Any]] = queue.Queue()

    def progress(share: float, note: str, picture: Image.Image | None = None) -> None:
        reports.put(("step", Step(share, spoken(note), picture)))

    def work() -> None:
        try:
            reports.put(("done", run(progress)))
        except BaseException as error:  # noqa: BLE001 - handed over to the caller's thread, whatever it is
            reports.put(("failed", error))

    # In this thread's context: who is asking must be known there too.
    threading.Thread(target=contextvars.copy_context().run, args=(work,), name="stepwise", daemon=True).start()
    while True:
        kind, value = reports.get()
        if kind == "failed":
            raise value
        yield value
        if kind == "done":
            return


def spoken(note: str) -> str:
    """What the engine reports, in the page's language; what it says of files and loading stays as it is."""
    step = STEP.fullmatch(note)
    return note if step is None else text("text.status.step").format(step=step[1], steps=step[2])
