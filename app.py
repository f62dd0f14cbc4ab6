"""Hyper-SD Studio: `python app.py`, and the entry that Hugging Face Spaces runs."""

from __future__ import annotations

import sys

from hypersd_app.cli import main

if __name__ == "__main__":
    sys.exit(main(["serve"]))
