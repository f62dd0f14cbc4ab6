"""Hyper-SD Studio: `python app.py`, and the entry that Hugging Face Spaces runs."""

from __future__ import annotations

import logging

from hypersd_app.settings import from_environment
from hypersd_app.ui.launch import serve


def main() -> None:
    """Serve with the settings of the environment (HYPERSD_*)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    serve(from_environment())


if __name__ == "__main__":
    main()
