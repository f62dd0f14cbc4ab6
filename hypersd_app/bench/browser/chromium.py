"""A Chromium for scripts and tests: the one of this machine, else Playwright's own."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hypersd_app.errors import ModelUnavailable

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
PLAYWRIGHTS = ".cache/ms-playwright/chromium-*/chrome-linux*/chrome"  # under the home folder
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-sync", "--disable-component-update",
)  # fmt: skip


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium until the block ends. Raises ModelUnavailable without Playwright or without any Chromium."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise ModelUnavailable("This needs a browser driver: pip install -r requirements-dev.txt") from error
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=_installed(), args=list(ARGUMENTS))
        except Error as error:
            raise ModelUnavailable(f"No Chromium could be started: {error}") from error
        try:
            yield browser
        finally:
            browser.close()


def chromium_path() -> str:
    """The program: this machine's, else Playwright's own. Raises ModelUnavailable if there is none."""
    path = _installed() or next(map(str, Path.home().glob(PLAYWRIGHTS)), None)
    if path is None:
        raise ModelUnavailable(f"This needs one of {', '.join(NAMES)}, or: playwright install chromium")
    return path


def _installed() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
