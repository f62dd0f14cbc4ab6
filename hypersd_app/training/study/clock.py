"""How long a study may still go on."""

from __future__ import annotations

import time


class Clock:
    """Counts down from so many `minutes`; 0 never ends."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes if minutes else None

    @property
    def over(self) -> bool:
        """Whether there is no time left."""
        return self._end is not None and time.monotonic() >= self._end

    @property
    def left(self) -> float:
        """Minutes for a loop that takes 0 as no limit."""
        return 0.0 if self._end is None else max(1e-3, (self._end - time.monotonic()) / 60)
