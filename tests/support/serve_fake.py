"""`python -m tests.support.serve_fake PORT [LIMITS]`: the studio with the fake engine, in a process of its own that says when."""

from __future__ import annotations

import sys
import threading

from hypersd_app.server.scheduling.limits import limits_of
from tests.support.fake_engine import FakeEngine
from tests.support.studio import served

if __name__ == "__main__":
    limits = limits_of(sys.argv[2]) if len(sys.argv) > 2 else None
    with served(FakeEngine(delay=0.02), port=int(sys.argv[1]), limits=limits):
        print("serving", flush=True)
        threading.Event().wait()
