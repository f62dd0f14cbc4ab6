"""A grid as one contact sheet: labels around, a caption under each image."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, MARGIN, CAPTION, HEADER = 256, 12, 20, 26, 34  # px
LEFT = 170  # room for the labels of rows
INK, QUIET, PAPER = "#2b2824", "#6b6459", "#ffffff"


def contact_sheet(
    images: Sequence[Image.Image | None], columns: Sequence[str], rows: Sequence[str], captions: Sequence[str], title: str
) -> Image.Image:
    """Images row by row (None leaves a place empty) under `title`, with a label for each column and row."""
    left = MARGIN + (LEFT if rows else 0)
    top = MARGIN + 2 * HEADER
    step = SIDE + GAP
    size = (left + len(columns) * step - GAP + MARGIN, top + max(1, len(rows)) * (step + CAPTION) - GAP + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    _write(draw, (MARGIN, MARGIN), title, 20, INK, size[0] - 2 * MARGIN)
    for i, label in enumerate(columns):
        _write(draw, (left + i * step, MARGIN + HEADER + 6), label, 16, INK, SIDE)
    for i, label in enumerate(rows):
        _write(draw, (MARGIN, top + i * (step + CAPTION) + SIDE // 2), label, 16, INK, LEFT - GAP)
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        at = (left + i % len(columns) * step, top + i // len(columns) * (step + CAPTION))
        if image is not None:
            sheet.paste(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), at)
        _write(draw, (at[0], at[1] + SIDE + 4), caption, 14, QUIET, SIDE)
    return sheet


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], words: str, size: int, colour: str, room: int) -> None:
    """One line, cut with an ellipsis where it is longer than `room` pixels."""
    font = ImageFont.load_default(size)
    shown = words
    while shown and draw.textlength(shown, font=font) > room:
        shown = shown.removesuffix("…")[:-1] + "…" if len(shown) > 1 else ""
    draw.text(at, shown, fill=colour, font=font)
