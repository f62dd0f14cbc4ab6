"""Hyper-SD Studio: `python app.py`, and the entry that Hugging Face Spaces runs."""

from __future__ import annotations

import logging

from hypersd_app.settings import from_environment


def main() -> None:
    """Serve with the settings of the environment (HYPERSD_*)."""
    from hypersd_app.ui.app import serve  # the drawing process imports this file too, and needs no page

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    serve(from_environment())


if __name__ == "__main__":
    main()
