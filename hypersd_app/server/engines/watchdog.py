"""How long work may be silent before whoever does it is taken for dead."""

from __future__ import annotations

from collections.abc import Hashable

FIRST_TIME = 900.0  # seconds without a sign of life that the first call of a kind may take: it downloads, converts, compiles
MOST_KINDS = 4096  # of work whose time is remembered


class HangDetector:
    """Longest times of each kind of work, since one process began. What has run before has nothing left to compile."""

    def __init__(self, hang_seconds: float) -> None:
        self._hang_seconds = hang_seconds
        self._seen: dict[Hashable, float] = {}

    def limit(self, kind: Hashable) -> float:
        """Seconds for which such work may be silent."""
        longest = self._seen.get(kind)
        return FIRST_TIME if longest is None else self._hang_seconds + 5 * longest

    def learn(self, kind: Hashable, seconds: float) -> None:
        """Such work was done. Its first time says nothing about the next."""
        longest = self._seen.get(kind)
        if longest is not None:
            self._seen[kind] = max(longest, seconds)
        elif len(self._seen) < MOST_KINDS:
            self._seen[kind] = 0.0
