"""`python -m tests.support.serve_ray PORT`: the studio in front of two replicas of the faulty engine."""

from __future__ import annotations

import logging
import sys

from hypersd_app.server.engines.ray.start import open_ray_engine
from hypersd_app.settings import Settings
from hypersd_app.ui.app import serve
from tests.support.fake_engine import FakeEngine
from tests.support.ray_engine import faulty

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    settings = Settings(port=int(sys.argv[1]), replicas=2)
    serve(settings, open_ray_engine(settings, faulty, FakeEngine()))
