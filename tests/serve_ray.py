"""`python -m tests.serve_ray PORT`: the studio in front of two replicas of the faulty engine."""

from __future__ import annotations

import logging
import sys

from hypersd_app.server.cluster.start import open_ray_engine
from hypersd_app.settings import Settings
from hypersd_app.ui.launch import serve
from tests.fake_engine import FakeEngine
from tests.ray_engines import faulty

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    settings = Settings(port=int(sys.argv[1]), replicas=2)
    serve(settings, open_ray_engine(settings, faulty, FakeEngine()))
