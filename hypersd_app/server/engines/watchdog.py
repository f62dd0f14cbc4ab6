"""Time limits after which a silent worker counts as hung."""

from __future__ import annotations

from collections.abc import Hashable

FIRST_TIME = 900.0  # seconds without a sign of life that the first call of a kind may take: it downloads, converts, compiles
MOST_KINDS = 4096  # of work whose time is remembered


class HangDetector:
    """Time limits for each kind of work, learned since one process began. What has run before has nothing left to compile."""

    def __init__(self, hang_seconds: float) -> None:
        self._hang_seconds = hang_seconds
        self.limits: dict[Hashable, float] = {}  # seconds for which work that has run before may be silent

    def limit(self, kind: Hashable) -> float:
        """Seconds for which such work may be silent."""
        return self.limits.get(kind, FIRST_TIME)

    def learn(self, kind: Hashable, seconds: float) -> None:
        """Such work was done. Its first time says nothing about the next."""
        known = self.limits.get(kind)
        if known is not None:
            self.limits[kind] = max(known, self._hang_seconds + 5 * seconds)
        elif len(self.limits) < MOST_KINDS:
            self.limits[kind] = self._hang_seconds
