"""Model files are hashed in the background unless the setting says no."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypersd_app.server.engines import factory
from hypersd_app.settings import from_environment


@pytest.mark.parametrize(("text", "expected"), [("", True), ("0", False), ("1", True)])
def test_hashing_is_a_setting(text: str, expected: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(factory, "Catalog", lambda _settings, *, behind, hashing: asked.append(hashing))
    monkeypatch.setattr(factory, "WorkerEngine", lambda *_arguments: None)
    factory.open_engine(from_environment({"HYPERSD_HASHING": text} if text else {}))
    assert asked == [expected]
