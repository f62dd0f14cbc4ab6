"""`python -m tests.support.serve_stepped PORT`: a studio whose long requests give way, in a process of its own."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.support.stepped_engine import SteppedEngine
from tests.support.studio import served

if __name__ == "__main__":
    with served(SteppedEngine(delay=0.05, folder=Path("no styles")), port=int(sys.argv[1])):
        threading.Event().wait()
