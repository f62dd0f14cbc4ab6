"""A visitor of a public studio brings a LoRA file: this page draws with it, another one knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from hypersd_app.requests import GenerationRequest
from hypersd_app.server.visitor_styles import VisitorStyles
from hypersd_app.settings import Settings
from tests.catalog.test_catalog import ATTENTION, style_file
from tests.support.board_page import WAIT, BoardPage
from tests.support.fake_engine import FakeEngine
from tests.support.studio import served

pytestmark = pytest.mark.browser
OWN = "document => hypersd.config.models.flatMap(m => m.styles).filter(s => s.name.startsWith('own-')).map(s => s.name)"


class Trusting(FakeEngine):
    """Draws with any style."""

    def _check_names(self, request: GenerationRequest) -> None:
        """None is unknown."""


def test_a_file_of_ones_own_serves_its_page_alone(
    visitor: Callable[..., BoardPage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "public", True)
    monkeypatch.setattr("hypersd_app.ui.app.visitor_styles", lambda _settings, limits: VisitorStyles(tmp_path / "kept", limits))
    path = style_file(tmp_path / "doodle.safetensors", ATTENTION, (4, 384), {"title": "Doodle"})
    with served(Trusting()) as running:
        board, other = visitor(running.address).open(), visitor(running.address).open()
        page = board.page
        page.get_by_role("tab", name="Styles").click()
        page.locator("#hs-style-file input[type=file]").set_input_files(path)
        expect(page.locator("#hs-style-report")).to_contain_text("was added", timeout=WAIT)
        page.wait_for_function(f"() => ({OWN})(document).length === 1", timeout=WAIT)
        name = page.evaluate(OWN)[0]
        page.evaluate("name => hypersd.board.settings.set('styles', {[name]: 1})", name)
        page.get_by_role("tab", name="Drawing board").click()
        board.settle()
        drawn = [style.name for request in running.engine.requests for style in request.styles]
        assert name in drawn
        assert other.page.evaluate(OWN) == []
        before = len(running.engine.requests)
        other.page.evaluate("name => hypersd.board.settings.set('styles', {[name]: 1})", name)
        other.wait_for("!hypersd.board.notice.hidden")
        later = [style.name for request in running.engine.requests[before:] for style in request.styles]
        assert name not in later, "who knows the name has not the key"
        assert len(list((tmp_path / "kept").iterdir())) == 1
        page.close()
    assert not list((tmp_path / "kept").iterdir())
