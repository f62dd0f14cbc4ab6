"""`python -m tests.support.serve_fake PORT`: the studio with the fake engine in a process of its own, until it is killed."""

from __future__ import annotations

import sys
import threading

from tests.support.fake_engine import FakeEngine
from tests.support.studio import served

if __name__ == "__main__":
    with served(FakeEngine(delay=0.02), port=int(sys.argv[1])):
        threading.Event().wait()
