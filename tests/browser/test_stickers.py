"""Stickers out of the page, in a real Chromium."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.board_page import BoardPage
from tests.support.studio import Served

pytestmark = pytest.mark.browser
Visitor = Callable[..., BoardPage]


@pytest.fixture
def panel(studio: Served, visitor: Visitor) -> BoardPage:
    """A board with a drawing and the sticker panel open."""
    board = visitor(studio.address, permissions=["clipboard-read", "clipboard-write"]).open()
    board.stroke((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.3))
    board.settle()
    board.page.locator('[data-opens="hs-sticker"]').click()
    made(board)
    return board


def made(board: BoardPage) -> None:
    """Until the preview shows the sticker as it would be saved."""
    board.wait_for(
        "document.querySelector('.hs-sticker-preview[src]') && !document.querySelector('.hs-sticker-preview[aria-busy]')"
    )


def downloaded(board: BoardPage, out: str) -> tuple[str, bytes]:
    with board.page.expect_download() as download:
        board.page.locator(f'[data-out="{out}"]').click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_all_of_the_panel_is_seen(panel: BoardPage) -> None:
    assert panel.page.evaluate(
        """() => {
            const own = document.querySelector("#hs-sticker"), box = own.getBoundingClientRect();
            const inside = (x, y) => own.contains(document.elementFromPoint(x, y));
            return inside(box.right - 3, box.top + 40) && inside(box.left + 3, box.top + 40);
        }"""
    ), "nothing around it cuts it off"


def test_png_svg_and_strokes(panel: BoardPage) -> None:
    name, data = downloaded(panel, "png")
    image = Image.open(io.BytesIO(data))
    assert name.endswith(".png") and image.size == (1024, 1024) and image.mode == "RGBA"
    assert "hypersd" in image.info, "it brings everything back"
    panel.page.locator(".hs-sticker-size").select_option("512")
    panel.page.locator(".hs-sticker-edge").check()
    made(panel)
    edged = Image.open(io.BytesIO(downloaded(panel, "png")[1]))
    assert edged.size == (512, 512) and np.asarray(edged.getchannel("A")).min() == 0
    name, data = downloaded(panel, "svg")
    assert name.endswith(".svg") and b"<path" in data and b"viewBox" in data
    name, data = downloaded(panel, "strokes")
    assert name == "drawing.svg" and data.count(b"<path") >= 1 and b'viewBox="0 0 1024 1024"' in data
    assert panel.errors == []


def test_copy_drag_and_share(panel: BoardPage) -> None:
    panel.page.locator('[data-out="copy"]').click()
    panel.page.get_by_text("Copied", exact=True).wait_for()
    read = "navigator.clipboard.read().then((items) => items[0].types[0])"
    assert panel.page.evaluate(read) == "image/png"
    dragged = """() => { const data = new DataTransfer();
        const preview = document.querySelector('.hs-sticker-preview');
        preview.dispatchEvent(new DragEvent('dragstart', { dataTransfer: data, bubbles: true }));
        return data.getData('DownloadURL'); }"""
    assert panel.page.evaluate(dragged).startswith("image/png:")
    shared = """() => { window.sent = null; navigator.canShare = () => true;
        navigator.share = async ({ files }) => { window.sent = [files[0].name, files[0].type, files[0].size]; }; }"""
    panel.page.evaluate(shared)
    panel.page.locator('[data-out="share"]').click()
    panel.wait_for("window.sent")
    name, kind, size = panel.value("window.sent")
    assert name.endswith(".png") and kind == "image/png" and size > 1000
    panel.page.evaluate("() => { navigator.canShare = undefined; }")
    assert downloaded(panel, "share")[0] == name, "else it is downloaded"


def test_a_pack(panel: BoardPage) -> None:
    panel.page.locator('[data-out="collect"]').click()
    panel.page.locator(".hs-pack img").nth(0).wait_for()
    panel.page.locator('[data-out="collect"]').click()
    panel.page.locator(".hs-pack img").nth(1).wait_for()
    name, data = downloaded(panel, "zip")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = [Image.open(io.BytesIO(archive.read(each))).size for each in archive.namelist()]
        assert name == "stickers.zip" and sizes == [(512, 512)] * 2
        assert all(len(archive.read(each)) < 100_000 for each in archive.namelist())
    panel.page.locator(".hs-pack button").first.click()
    assert panel.page.locator(".hs-pack img").count() == 1
