"""One stroke passes through few files, and through fewer packages."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hypersd_app.bench import call_path
from hypersd_app.bench.call_path import CallPath, Recorder, measure
from hypersd_app.requests import GenerationRequest
from hypersd_app.settings import Settings

MOST_FILES, MOST_CROSSINGS = 24, 18


def test_calls_between_packages_are_told_from_those_within() -> None:
    edges = Counter({("server/a.py", "server/b.py"): 3, ("server/a.py", "requests.py"): 2})
    path = CallPath(9, {"server/a.py"}, edges) + CallPath(1, {"requests.py"}, Counter({("engine/x.py", "requests.py"): 1}))
    assert (path.calls, path.files, path.across_files, path.crossings) == (10, 2, 6, 3)
    assert path.table().startswith("2 files, 10 calls, 6 across files, 3 across packages")


def test_a_recorder_notes_the_calls_of_threads_that_start_after_it() -> None:
    recorder = Recorder()
    recorder.install()
    try:
        recorder.armed = True
        thread = threading.Thread(target=GenerationRequest, args=("a cat",))
        thread.start()
        thread.join()
        recorder.armed = False
        GenerationRequest("a dog")
    finally:
        recorder.remove()
    path = recorder.taken()
    assert path.touched == {"requests.py"} and path.calls > 3 and not path.edges
    assert recorder.taken().calls == 0


def test_files_outside_the_package_have_no_name() -> None:
    assert call_path.file_of(threading.__file__) == call_path.file_of(call_path.__file__) == ""
    assert call_path.package_of("requests.py") == "requests" and call_path.package_of("engine/plan.py") == "engine"


@pytest.mark.slow
def test_a_stroke_takes_the_short_way(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:  # the main thread may hold the running loop of Playwright's fixtures
        path = pool.submit(measure, Settings(cache=tmp_path, offline=True)).result()
    assert path.files <= MOST_FILES and path.crossings <= MOST_CROSSINGS, path.table()
    assert {"server/http/board_socket.py", "engine/sampling/denoise.py", "images/scribble.py"} <= path.touched
