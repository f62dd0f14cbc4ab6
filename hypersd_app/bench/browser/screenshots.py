"""`python -m hypersd_app screenshots`: every tab of the real app, light and dark, and the drawing board on a phone."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from hypersd_app.bench.browser.chromium import open_browser
from hypersd_app.bench.browser.page_modules import page_modules
from hypersd_app.bench.browser.stroke import Places
from hypersd_app.errors import InvalidRequest
from hypersd_app.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 120_000  # ms: the first image of a recipe may have to compile it
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
INKS = {"dark": 0, "red": 1, "green": 4, "brown": 7}  # places in the board's row of inks
THEMES = ("light", "dark")


@dataclass(frozen=True)
class Subject:
    """A drawing to make: words, and strokes with their ink."""

    prompt: str
    strokes: tuple[tuple[str, Places], ...]


def circle(x: float, y: float, radius: float, points: int = 28) -> Places:
    """Places of a circle."""
    return [
        (x + radius * math.cos(2 * math.pi * i / points), y + radius * math.sin(2 * math.pi * i / points))
        for i in range(points + 1)
    ]


APPLE = Subject(
    "a red apple",
    (
        ("red", circle(0.5, 0.57, 0.27)),
        ("brown", [(0.5, 0.33), (0.51, 0.25), (0.55, 0.17)]),
        ("green", [(0.53, 0.25), (0.6, 0.17), (0.7, 0.18), (0.64, 0.26), (0.54, 0.26)]),
    ),
)


def curve(*corners: tuple[float, float], points: int = 24) -> Places:
    """Places of the Bezier curve that `corners` pull on."""

    def place(t: float) -> tuple[float, float]:
        row = list(corners)
        while len(row) > 1:
            row = [((1 - t) * x0 + t * x1, (1 - t) * y0 + t * y1) for (x0, y0), (x1, y1) in pairwise(row)]
        return row[0]

    return [place(i / points) for i in range(points + 1)]


MUSHROOM = Subject(
    "a mushroom",
    (
        ("red", curve((0.16, 0.54), (0.16, 0.02), (0.84, 0.02), (0.84, 0.54))),
        ("red", curve((0.84, 0.54), (0.62, 0.62), (0.38, 0.62), (0.16, 0.54))),
        ("brown", curve((0.4, 0.59), (0.45, 0.74), (0.32, 0.86), (0.42, 0.88))),
        ("brown", curve((0.42, 0.88), (0.5, 0.91), (0.5, 0.91), (0.58, 0.88))),
        ("brown", curve((0.58, 0.88), (0.68, 0.86), (0.55, 0.74), (0.6, 0.59))),
        ("red", circle(0.36, 0.39, 0.06)),
        ("red", circle(0.58, 0.31, 0.07)),
        ("red", circle(0.7, 0.47, 0.045)),
    ),
)  # fmt: skip


def add_screenshots_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `screenshots`."""
    parser.add_argument("--output", type=Path, help="a folder (default: assets/screenshots)")
    parser.add_argument("--only", nargs="*", default=[], help=f"some of: {', '.join(SCENES)}")


def run_screenshots(args: argparse.Namespace, settings: Settings) -> int:
    """Serve the app, take the images, return the exit status. Raises HyperSDError."""
    from hypersd_app.bench.load.server import own_server

    for name in args.only:
        if name not in SCENES:
            raise InvalidRequest("only", name, ", ".join(SCENES))
    output = args.output or settings.assets / "screenshots"
    output.mkdir(parents=True, exist_ok=True)
    with own_server(settings.environment) as address, open_browser() as browser:
        take(browser, address, output, args.only or list(SCENES))
    return 0


def take(browser: Browser, address: str, output: Path, names: list[str]) -> None:
    """One visitor goes through the tabs; each is photographed in both themes."""
    page = new_page(browser, DESKTOP)
    page.goto(address)
    page.wait_for_function("() => document.querySelector('#hs-text-gallery img')")
    for name in [each for each in SCENES if each in names and each != "phone"]:
        SCENES[name](page)
        for theme in THEMES:
            show_theme(page, theme)
            page.screenshot(path=output / f"{name}{'' if theme == 'light' else '-dark'}.png")
    page.close()
    if "phone" in names:
        page = new_page(browser, PHONE)
        page.goto(address)
        SCENES["phone"](page)
        page.screenshot(path=output / "phone.png")
        page.close()


def new_page(browser: Browser, size: dict[str, int]) -> Page:
    """A visitor's page; phones have fingers."""
    phone = size is PHONE
    page = browser.new_page(viewport=size, has_touch=phone, is_mobile=phone, color_scheme="light")  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE)
    page.add_init_script(page_modules())
    return page


def show_theme(page: Page, theme: str) -> None:
    """Light or dark; colours fade, so wait until they stand."""
    page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", theme == "dark")
    page.wait_for_timeout(400)


def text_scene(page: Page) -> None:
    """Four images of one prompt."""
    page.get_by_role("tab", name="Text to image").click()
    page.locator("#hs-text-prompt textarea, #hs-text-prompt input").first.fill("a cat with sunglasses")
    page.locator("#hs-text-images input[type=number]").fill("4")
    page.locator("#hs-text-images input[type=number]").press("Enter")
    page.locator("#hs-text-make").click()
    page.wait_for_function("() => document.querySelectorAll('#hs-text-gallery .thumbnail-item img').length === 4")
    page.wait_for_timeout(800)


def board_scene(page: Page, subject: Subject = MUSHROOM) -> None:
    """A drawing with its image, the pen at rest."""
    page.get_by_role("tab", name="Drawing board").click()
    page.wait_for_function("() => window.hypersd && hypersd.board && hypersd.board.image")
    page.locator(".hs-prompt").fill(subject.prompt)
    box = page.locator(".hs-paper").bounding_box()
    assert box is not None
    for ink, places in subject.strokes:
        page.locator(".hs-inks .hs-ink-button").nth(INKS[ink]).click()
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
            page.wait_for_timeout(16)
        page.mouse.up()
    page.mouse.move(4, 4)
    settle(page)


def settle(page: Page) -> None:
    """Until the resting pen's image is shown and the style strip is filled."""
    page.wait_for_function(
        "() => hypersd.board.link.idle && (hypersd.board.rest || !hypersd.board.settings.refines)"
        " && hypersd.board.shownSeq === hypersd.board.link.seq"
    )
    own_images(page, ".hs-strip")


def own_images(page: Page, cards: str) -> None:
    """Until every style's card shows the visitor's own drawing in place of the image that comes with the style."""
    page.wait_for_function(
        "(cards) => { const shipped = hypersd.board.settings.model.styles.map((style) => style.preview);"
        " return [...document.querySelectorAll(`${cards} .hs-style img`)].every("
        "(image) => image.src && !shipped.includes(image.getAttribute('src'))); }",
        arg=cards,
    )


def styles_scene(page: Page) -> None:
    """Every style's card with the visitor's own drawing in place of the image that comes with the style."""
    page.get_by_role("tab", name="Styles").click()
    own_images(page, ".hs-cards")
    page.wait_for_timeout(400)


def compare_scene(page: Page) -> None:
    """Steps across, seeds down, a wipe between the first and the last."""
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-c-y").select_option("seed")
    page.locator(".hs-c-ys").fill("7 | 8")
    page.locator(".hs-c-run").click()
    page.wait_for_function("() => hypersd.comparePage && hypersd.comparePage.cells.length && !hypersd.comparePage.running")
    cells = page.locator(".hs-cell")
    cells.first.click()
    cells.last.click()
    page.evaluate("() => scrollTo(0, 0)")
    page.wait_for_timeout(400)


def timeline_scene(page: Page) -> None:
    """All that was made so far."""
    page.get_by_role("tab", name="Timeline").click()
    page.locator(".hs-t-frame").first.wait_for()
    page.wait_for_timeout(600)


def phone_scene(page: Page) -> None:
    """The drawing board on a small screen."""
    page.wait_for_function("() => document.querySelector('#hs-text-gallery img')")
    board_scene(page, APPLE)


SCENES: dict[str, Callable[[Page], None]] = {
    "text": text_scene,
    "board": board_scene,
    "styles": styles_scene,
    "compare": compare_scene,
    "timeline": timeline_scene,
    "phone": phone_scene,
}
