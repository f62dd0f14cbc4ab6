"""The drawing board as a test sees it: a pen, and what is on the screen."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from hypersd_app.bench.browser.page_modules import page_modules

WAIT = 60_000  # ms until a test gives up; a busy machine takes its time


DROP = """([bytes, name, type]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name, { type }));
    for (const event of ["dragover", "drop"]) {
        document.body.dispatchEvent(new DragEvent(event, { dataTransfer: data, bubbles: true, cancelable: true }));
    }
}"""


def drop(page: Page, data: bytes, name: str, media_type: str = "") -> None:
    """Drop a file somewhere on the page."""
    page.evaluate(DROP, [list(data), name, media_type])


def next_frame(board: BoardPage) -> None:
    """Until the browser has drawn its next frame."""
    board.page.evaluate("() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)))")


STILL = """() => document.getAnimations().every((animation) =>
    animation.playState !== "running" || animation.effect.getComputedTiming().iterations === Infinity)"""


def still(page: Page) -> None:
    """Until nothing on the page moves or fades any more, but for what never stops."""
    page.evaluate("() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
    page.wait_for_function(STILL, timeout=WAIT)


class BoardPage:
    """One visitor's page."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.errors: list[str] = []
        page.set_default_timeout(WAIT)
        page.add_init_script(page_modules())
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self) -> BoardPage:
        """Open the drawing board and wait for the first image."""
        self.page.goto(self.address)
        self.page.get_by_role("tab", name="Drawing board").click()
        self.wait_for("hypersd.board && hypersd.board.image")
        return self

    def wait_for(self, condition: str) -> None:
        """Until the JavaScript `condition` holds."""
        self.page.wait_for_function(f"() => window.hypersd && !!({condition})", timeout=WAIT)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is now."""
        return self.page.evaluate(f"() => ({expression})")

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Screen position of a place on the paper, 0..1."""
        box = self.page.locator(".hs-paper").bounding_box()
        assert box is not None
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def pen_down(self, x: float, y: float) -> None:
        self.page.mouse.move(*self.point(x, y))
        self.page.mouse.down()

    def pen_to(self, x: float, y: float, steps: int = 6) -> None:
        self.page.mouse.move(*self.point(x, y), steps=steps)

    def pen_up(self) -> None:
        self.page.mouse.up()

    def stroke(self, *places: tuple[float, float]) -> None:
        """A whole stroke through places on the paper."""
        self.pen_down(*places[0])
        for place in places[1:]:
            self.pen_to(*place)
        self.pen_up()

    def settle(self) -> None:
        """Until nothing is on its way and the image is the resting pen's."""
        rested = "(hypersd.board.rest || !hypersd.board.settings.refines)"
        self.wait_for(f"hypersd.board.link.idle && {rested} && hypersd.board.shownSeq === hypersd.board.link.seq")

    def image(self) -> str:
        """The shown image's bytes, in base64."""
        shown: str = self.page.evaluate("async () => hypersd.toBase64(await hypersd.board.image.blob.arrayBuffer())")
        return shown

    def strokes(self) -> int:
        """Strokes on the paper."""
        return int(self.value("hypersd.board.drawing.visible.length"))

    def points(self) -> list[list[float]]:
        """Flat points [x, y, pressure, ...] of every stroke on the paper."""
        found: list[list[float]] = self.value("hypersd.board.drawing.visible.map((stroke) => stroke.points)")
        return found

    def ink(self) -> int:
        """Pixels of the paper that have ink."""
        script = """() => { const c = hypersd.board.paper.ink.canvas;
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; }"""
        return int(self.page.evaluate(script))

    def describe(self, words: str) -> None:
        """Type the board's prompt."""
        self.page.locator(".hs-prompt").fill(words)

    def expect_state(self, state: str) -> None:
        expect(self.page.locator(".hs-board")).to_have_attribute("data-state", state, timeout=WAIT)
