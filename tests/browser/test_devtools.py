"""A tab over the DevTools protocol: what the page says comes back, and the mouse reaches it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hypersd_app.bench.browser import devtools
from hypersd_app.bench.browser.devtools import Tab, open_tab
from hypersd_app.errors import HyperSDError, ModelUnavailable

PAGE = "data:text/html,<body style='margin:0'><script>seen=[];for(const kind of ['pointerdown','pointermove','pointerup'])" \
    "addEventListener(kind,(e)=>seen.push([kind,e.clientX,e.clientY,e.buttons]))</script>"  # fmt: skip


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with open_tab() as opened:
        opened.go(PAGE)
        yield opened


def test_what_a_function_gives_comes_back(tab: Tab) -> None:
    assert tab.evaluate("async () => ({ inside: [innerWidth, innerHeight, devicePixelRatio] })") == {"inside": [*devtools.SIZE, 1]}
    tab.run("window.later = false; setTimeout(() => { window.later = document.body; }, 150)  // ends in a comment")
    tab.wait_for("() => window.later")


def test_what_it_throws_is_told(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HyperSDError, match="no such thing"):
        tab.evaluate("() => { throw new Error('no such thing'); }")
    with pytest.raises(HyperSDError, match="cannot be opened"):
        tab.go("http://127.0.0.1:9/")
    tab.go(PAGE)
    monkeypatch.setattr(devtools, "PATIENCE", 0.3)
    with pytest.raises(HyperSDError, match="in vain"):
        tab.wait_for("() => false")


def test_the_mouse_draws(tab: Tab) -> None:
    tab.run("seen.length = 0")
    tab.move(10, 20)
    tab.down()
    tab.move(30, 40)
    tab.up()
    tab.wait_for("() => seen.length >= 4")
    assert tab.evaluate("() => seen") == [
        ["pointermove", 10, 20, 0],
        ["pointerdown", 10, 20, 1],
        ["pointermove", 30, 40, 1],
        ["pointerup", 30, 40, 0],
    ]


def test_without_a_browser_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", "/nowhere")
    with pytest.raises(ModelUnavailable, match="one of chromium"), open_tab():
        pass
