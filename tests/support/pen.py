"""A pen with pressure and several fingers, through the browser's own input (CDP)."""

from __future__ import annotations

from tests.support.board_page import BoardPage

Place = tuple[float, float]


class Hands:
    """What touches one visitor's paper; places are 0..1 of it, pressures 0..1."""

    def __init__(self, board: BoardPage) -> None:
        self._board = board
        self._devtools = board.page.context.new_cdp_session(board.page)

    def pen(self, action: str, x: float, y: float, pressure: float) -> None:
        """Bring the pen to a place; `action` is Pressed, Moved or Released."""
        left, top = self._board.point(x, y)
        down = action != "Released"
        self._devtools.send(
            "Input.dispatchMouseEvent",
            {
                "type": f"mouse{action}",
                "x": left,
                "y": top,
                "button": "left",
                "buttons": int(down),
                "clickCount": 1,
                "pointerType": "pen",
                "force": pressure if down else 0.0,
            },
        )

    def fingers(self, action: str, *places: Place, at: float | None = None) -> None:
        """All fingers on the paper and where they are now; `action` is Start, Move or End, `at` when (s since 1970), else now."""
        points = [self._board.point(x, y) for x, y in places]
        touches = [{"x": left, "y": top, "id": number} for number, (left, top) in enumerate(points)]
        when = {} if at is None else {"timestamp": at}
        self._devtools.send("Input.dispatchTouchEvent", {"type": f"touch{action}", "touchPoints": touches, **when})
