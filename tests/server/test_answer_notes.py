"""What of a prompt did nothing reaches whoever asked."""

from __future__ import annotations

import numpy as np

from hypersd_app.requests import GenerationRequest, GenerationResult
from hypersd_app.server.scheduling.scheduler import Frame
from hypersd_app.server.service import answer
from hypersd_app.ui.tabs.text_to_image_events import status_of

NOTE = "the style nowhere that the prompt names is not here"


def result(*notes: str) -> GenerationResult:
    """An image with notes."""
    return GenerationResult((np.zeros((8, 8, 3), np.uint8),), GenerationRequest("a cat"), notes=notes)


def test_notes_stand_in_the_answer_and_in_the_line_below_the_image() -> None:
    assert answer(Frame(1, result=result(NOTE))).head["notes"] == [NOTE]
    assert "notes" not in answer(Frame(1, result=result())).head
    assert status_of(result(NOTE)) == f"{status_of(result())} · {NOTE}"
