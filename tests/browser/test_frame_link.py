"""When the board sends which state, in the time of a clock that the test turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from hypersd_app.ui.scripts import STATIC

SETUP = """() => {
  window.sent = [];
  let revision = 0, movedAt = 0;
  hypersd.chooseTransport = (_connection, on) => ({ current: { ready: true, name: "socket", check() {}, send(seq) {
    sent.push({ revision, at: performance.now(), age: performance.now() - movedAt });
    setTimeout(() => on.answer({ type: "picture", seq, ms: { rendered: 38, waited: 0 } }), 42);
    return true;
  } } });
  const board = { key: () => String(revision), snapshot: async () => ({ head: {}, picture: null }), state() {}, show() {} };
  const link = new hypersd.FrameLink(null, board, { dropped() {}, late() {} });
  window.move = () => { revision += 1; movedAt = performance.now(); link.request(false); };
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    opened.clock.install(time=0)
    opened.goto("about:blank")
    opened.clock.pause_at(1000)
    opened.add_script_tag(path=STATIC / "link.js")
    opened.evaluate(SETUP)
    yield opened
    opened.close()


def move(page: Page, times: int, every: int) -> list[dict[str, float]]:
    """States sent while the pen moves `times` times, `every` so many milliseconds."""
    before = page.evaluate("() => sent.length")
    for _ in range(times):
        page.evaluate("() => move()")
        page.clock.run_for(every)
    sent: list[dict[str, float]] = page.evaluate("() => sent")
    return sent[before:]


def test_a_state_is_sent_with_a_movement_and_not_just_before_one(page: Page) -> None:
    move(page, 20, every=17)
    sent = move(page, 60, every=17)
    assert len(sent) >= 15, "one every third or fourth movement"
    assert max(state["age"] for state in sent) < 0.45 * 17, "or the next movement would have been waited for"
    assert sum(state["age"] == 0 for state in sent) >= len(sent) / 2


def test_a_pen_that_stands_still_is_not_waited_for(page: Page) -> None:
    moved = 37
    move(page, moved, every=17)
    page.clock.run_for(60)
    last = page.evaluate("() => sent.at(-1)")
    assert last["revision"] == moved
    assert last["age"] < 60


def test_every_slow_movement_is_sent_at_once(page: Page) -> None:
    move(page, 3, every=120)
    sent = move(page, 6, every=120)
    assert [state["age"] for state in sent] == pytest.approx([0] * 6, abs=1)
