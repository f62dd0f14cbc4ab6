"""The words that a style's training captions had most often, as kohya's trainer counts them: what else its prompt may say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

MOST_TAGS = 24
LONGEST_TAG = 60  # characters
LONGEST_TEXT = 4 * 1024 * 1024  # characters of the counts
MOST_COUNTED = 50_000


def commonest_tags(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The commonest tags of `ss_tag_frequency`, {folder: {tag: count}}, most frequent first; () without one."""
    text = metadata.get("ss_tag_frequency", "")
    try:
        found = json.loads(text) if 0 < len(text) <= LONGEST_TEXT else {}
    except (ValueError, RecursionError):
        return ()
    counts: Counter[str] = Counter()
    for folder in found.values() if isinstance(found, Mapping) else ():
        rows = list(folder.items())[:MOST_COUNTED] if isinstance(folder, Mapping) else ()
        for tag, count in rows:
            if (name := str(tag).strip()) and len(name) <= LONGEST_TAG and type(count) is int and count > 0:
                counts[name] += count
    return tuple(name for name, _ in sorted(counts.items(), key=lambda row: (-row[1], row[0]))[:MOST_TAGS])
