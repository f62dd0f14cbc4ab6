"""Maps weight names of files written before Pocket's sub-modules were renamed to the names used now.

The weights that ship and files on users' disks keep their old names; every path that loads weights applies this map.
No layer of Stable Diffusion has one of the old names, so the map is safe on any state dict or LoRA file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, TypeVar

Value = TypeVar("Value")

_BLOCK = r"blocks\.\d+"
_HEAD = r"draw_(?:whole|thing)"
# (pattern of the module, old child, new child); the modules' own names come last, so that patterns use the old ones.
_CHILDREN: tuple[tuple[str, str, str], ...] = (
    ("words", "enter", "in_proj"),
    ("words", "places", "positions"),
    ("words", "attend", "qkv"),
    ("words", "leave", "out_proj"),
    ("words", "think", "mlp"),
    (_HEAD, "read", "in_proj"),
    (_HEAD, "narrow", "bottleneck"),
    (_HEAD, "draw", "out_proj"),
    (_BLOCK, "around", "dwconv"),
    (_BLOCK, "told", "film"),
    (_BLOCK, "think", "mlp"),
)
_MODULES: tuple[tuple[str, str], ...] = (
    ("words", "token_encoder"),
    ("read_whole", "whole_pooling"),
    ("draw_whole", "whole_head"),
    ("read_things", "part_pooling"),
    ("draw_thing", "part_head"),
    ("look", "patch_embed"),
    ("expect", "layout_embed"),
    ("listen", "text_proj"),
)
# A module's path begins the name, or follows a dot; a slash ends the prefix that training checkpoints put before names.
_START = r"(?P<start>^|[./])"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    *(
        (re.compile(rf"{_START}(?P<module>{module})\.{old}(?=\.|$)"), rf"\g<start>\g<module>.{new}")
        for module, old, new in _CHILDREN
    ),
    *((re.compile(rf"{_START}{old}(?=\.)"), rf"\g<start>{new}") for old, new in _MODULES),
)


def current_key(key: str) -> str:
    """The name that a weight goes by now; names that were never changed come back as they are."""
    for pattern, replacement in _RULES:
        key = pattern.sub(replacement, key)
    return key


def current_keys(state: Mapping[str, Value]) -> dict[str, Value]:
    """A state dict, or the tensors of a LoRA file or a checkpoint, under the names used now."""
    return {current_key(key): value for key, value in state.items()}


def rename_in_place(state: MutableMapping[str, Any]) -> None:
    """`current_keys` on the mapping itself, in the same order: loaders of torch and diffusers expect their own object changed."""
    renamed = current_keys(state)
    if renamed.keys() != state.keys():
        state.clear()
        state.update(renamed)
