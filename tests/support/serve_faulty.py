"""`python -m tests.support.serve_faulty PORT`: the studio as it is served, its drawing process being the faulty engine."""

from __future__ import annotations

import logging
import sys

from hypersd_app.server.engines.worker import WorkerEngine
from hypersd_app.settings import Settings
from hypersd_app.ui.app import serve
from tests.support.fake_engine import FakeEngine
from tests.support.faulty_engine import build

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    serve(Settings(port=int(sys.argv[1])), WorkerEngine(build, FakeEngine(), hang_seconds=1.0))
