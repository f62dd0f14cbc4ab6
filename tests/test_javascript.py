"""The page's scripts that need no browser: every `*.test.js` and `*.test.mjs` under tests/, run by node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import playwright
import pytest

from hypersd_app.settings import ROOT

FILES = sorted(path for kind in ("js", "mjs") for path in (ROOT / "tests").rglob(f"*.test.{kind}"))


def node() -> str:
    """Node of this machine, else the one that Playwright brings along."""
    return shutil.which("node") or str(Path(playwright.__file__).parent / "driver" / "node")


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_scripts_pass(file: Path) -> None:
    done = subprocess.run([node(), "--test", str(file)], check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
