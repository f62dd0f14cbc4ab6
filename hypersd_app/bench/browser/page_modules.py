"""The page's ES modules for the scripts of benches and tests: `hypersd.<name>` is what a module exports, or a part of the page."""

from __future__ import annotations

from pathlib import Path


def page_modules() -> str:
    """JavaScript to run in the page, or in every page to come."""
    return Path(__file__).with_name("page_modules.js").read_text(encoding="utf-8")
