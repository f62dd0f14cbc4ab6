"""A long run step by step: the engine's progress reports as an iterator that a page can show."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image

from hypersd_app.requests import StepReached
from hypersd_app.ui.i18n.texts import text

Result = TypeVar("Result")
Progress = Callable[..., None]  # (share, words or StepReached), and now and then an image too


@dataclass(frozen=True)
class Step:
    """How far a run is: a share from 0 to 1, a note in the page's language, and the unfinished image where there is one."""

    share: float
    note: str
    image: Image.Image | None = None


def with_steps(run: Callable[[Progress], Result]) -> Iterator[Step | Result]:
    """Run `run(progress)` in a thread; yields every Step, then the result. Raises what `run` raises."""
    reports: queue.Queue[tuple[str, Any]] = queue.Queue()

    def progress(share: float, note: str | StepReached, image: Image.Image | None = None) -> None:
        reports.put(("step", Step(share, note_text(note), image)))

    def work() -> None:
        try:
            reports.put(("done", run(progress)))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread, whatever it is
            reports.put(("failed", error))

    # In a copy of this thread's context, which knows the visitor who asks.
    threading.Thread(target=contextvars.copy_context().run, args=(work,), name="stepwise", daemon=True).start()
    while True:
        kind, value = reports.get()
        if kind == "failed":
            raise value
        yield value
        if kind == "done":
            return


def note_text(note: str | StepReached) -> str:
    """A progress note in the page's language; notes about files and loading stay in English."""
    if isinstance(note, StepReached):
        return text("text.status.step").format(step=note.step, steps=note.steps)
    return note
