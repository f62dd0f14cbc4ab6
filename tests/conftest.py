"""Marks by folder, so that `-m "not browser and not training"` leaves out what nobody has to mark one by one; quick collections;
and what several workers of pytest-xdist need to share a machine."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processor_time import ProcessorTime

HERE = Path(__file__).parent
MARKS = {"browser": pytest.mark.browser, "training": pytest.mark.training}

# What takes longest begins first, so that no worker sits alone over it at the end. What waits more than it computes (Ray) goes
# with what computes (training). The browser's come last: its fixtures leave a worker's main thread a running event loop.
FIRST = (
    "server/test_ray.py",
    "training/study",
    "engine/memory/test_switching.py",
    "training/test_stages.py",
    "training",
    "engine/sampling/test_equivalence.py",
    "engine",
)
LAST = ("browser/test_transports.py", "browser/test_drawing_board.py", "browser/test_studio_tabs.py", "browser")

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    # Before anybody imports torch: threads of all workers together as many as cores, or they wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    os.environ.pop("PYTHONWARNDEFAULTENCODING", None)  # this process has heard it; the programs that tests start may be others'


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--processor-time", action="store_true", help="list processor seconds per file and test")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("processor_time"):
        config.pluginmanager.register(ProcessorTime())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: turn(item.path.relative_to(HERE).as_posix()))
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in MARKS:
            item.add_marker(MARKS[folder])


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """For what the tests of a module share. It goes after the last of them: all modules' together would fill a small disk."""
    folder = tmp_path_factory.mktemp("module")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def turn(path: str) -> int:
    """When a file's tests are run: the place in FIRST, then all others, then the place in LAST."""
    for place, prefix in enumerate(FIRST):
        if path.startswith(prefix):
            return place - len(FIRST)
    for place, prefix in enumerate(LAST, start=1):
        if path.startswith(prefix):
            return place
    return 0


def pytest_collection_finish() -> None:
    """Leave what the imports made out of later garbage collections.

    An engine that closes, or makes room, collects garbage: with torch, diffusers and Gradio imported each time would take longer
    than most tests.
    """
    gc.collect()
    gc.freeze()
