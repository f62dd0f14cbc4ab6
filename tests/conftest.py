"""Marks by folder, so that `-m "not browser and not training"` leaves out what nobody has to mark one by one; quick collections."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MARKS = {"browser": pytest.mark.browser, "training": pytest.mark.training}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in MARKS:
            item.add_marker(MARKS[folder])


def pytest_collection_finish() -> None:
    """Leave what the imports made out of later garbage collections.

    An engine that closes, or makes room, collects garbage: with torch, diffusers and Gradio imported each time would take longer
    than most tests.
    """
    gc.collect()
    gc.freeze()
