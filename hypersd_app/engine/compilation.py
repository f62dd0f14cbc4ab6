"""What came of compiling networks, in words."""

from __future__ import annotations

COMPILED, PLAIN = "compiled", "not compiled"


def compiled_words(*networks: object) -> str:
    """For a label: ", compiled" if all that ran are, and which are not otherwise; empty where nothing is compiled."""
    states = {getattr(network, "state", "") for network in networks} - {""}
    if not states:
        return ""
    return f", {COMPILED}" if states == {COMPILED} else f", {PLAIN}" if states == {PLAIN} else ", partly compiled"
