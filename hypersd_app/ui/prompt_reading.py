"""What a model makes of a prompt: how many of its words are read, and which things in it the model has not seen."""

from __future__ import annotations

import functools
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypersd_app.catalog.vocabulary import FILE_NAME, Entry, Vocabulary
from hypersd_app.prompts.schedules import prompt_schedule
from hypersd_app.prompts.tags import take_tags
from hypersd_app.prompts.wording import A1111, USUAL, Wording
from hypersd_app.requests import MAX_PROMPT_LENGTH
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.ui.i18n.emoji_words import emoji_of

POCKET = "pocket"  # the family whose text encoder reads one chunk
LONGEST = 500  # characters, as many as the page's field takes
_STEPS = 20  # over which a prompt may change
_ENDS = 2  # tokens that mark where a text begins and ends
# What separates things from each other, and what is said of them rather than their names.
BETWEEN = re.compile(
    r"[,;.!?/+&()]|\b(?:and|with|without|in|on|at|of|by|near|under|over|beside|behind|between|from|to|for|wearing|holding|eating|riding)\b",
    re.IGNORECASE,
)
SAYS_NOTHING = re.compile(
    r"\b(?:a|an|the|one|two|three|four|five|some|style|sticker|drawing|picture|background|isolated|white|black|red|orange|yellow|green|"
    r"blue|purple|violet|pink|brown|grey|gray|golden|silver|big|small|large|little|tiny|cute|happy|sad|old|new|front|left|right|\w+ing)\b",
    re.IGNORECASE,
)
_WORDS = re.compile("[a-z0-9]", re.IGNORECASE)


@dataclass(frozen=True)
class Unknown:
    """Words for a thing that the model has not seen, and the nearest that it has; "" for none."""

    words: str
    nearest: str


@dataclass(frozen=True)
class PromptReading:
    """`unread` is the end of the prompt for which there is no room, "" where all is read.

    `tokens` are its pieces, `room` how many of them are read at once (0 where the files don't say), and `chunks` how often that is.
    """

    unread: str
    unknown: tuple[Unknown, ...]
    tokens: int = 0
    room: int = 0
    chunks: int = 1


def read_prompt(engine: ImageEngine, model: str, prompt: str, grammar: str = "") -> PromptReading:
    """How `model` reads a prompt; nothing is wrong with it where the model's files don't say."""
    row = next((each for each in engine.models() if each.name == model), None)
    if row is None or not prompt.strip():
        return PromptReading("", ())
    if row.family in USUAL:  # with weights, and in as many chunks as the words need
        return in_chunks(row.source.path or Path(), prompt[:MAX_PROMPT_LENGTH], grammar or USUAL[row.family])
    folder, text = row.source.path, prompt[:LONGEST]
    if folder is None:
        return PromptReading("", ())
    tokens, room = counted_tokens(folder, text)
    if row.family != POCKET:
        return PromptReading("", unknown_things(folder, text), tokens, room, max(1, math.ceil(tokens / room)) if room else 1)
    return PromptReading(unread(folder, text), unknown_things(folder, text), tokens, room)


def in_chunks(model: Path, prompt: str, grammar: str) -> PromptReading:
    """Tokens and chunks of a prompt in a grammar, as the model that `model` holds reads it. Words of styles are none."""
    from hypersd_app.ui.clip_tokens import clip_table

    table, text = clip_table(model), take_tags(prompt).text
    if grammar == A1111:  # of what changes over the steps the longest counts
        text = max((words for _, words in prompt_schedule(text, _STEPS)), key=len)
    wording = Wording(text, grammar)
    tokens = sum(len(table.ids(segment.text)) for segment in wording.segments() if not segment.breaks)
    return PromptReading("", (), tokens, table.length - _ENDS, len(wording.chunks(table)))


def counted_tokens(folder: Path, prompt: str) -> tuple[int, int]:
    """Tokens of a prompt, and how many the text encoder of the model in `folder` reads at once; zeros where it doesn't say."""
    found = _tokenizer(folder)
    if found is None:
        return 0, 0
    return len(found[0].encode(prompt, add_special_tokens=False).offsets), found[1] - _ENDS


def unread(folder: Path, prompt: str) -> str:
    """What of the prompt the text encoder of the model in `folder` cuts off."""
    found = _tokenizer(folder)
    if found is None:
        return ""
    tokenizer, most = found
    offsets = tokenizer.encode(prompt, add_special_tokens=False).offsets
    return prompt[offsets[most - _ENDS][0] :].strip() if len(offsets) > most - _ENDS else ""


def unknown_things(folder: Path, prompt: str) -> tuple[Unknown, ...]:
    """The things in a prompt that the vocabulary of the model in `folder` does not have."""
    vocabulary = _vocabulary(folder)
    if vocabulary is None:
        return ()
    things = (" ".join(SAYS_NOTHING.sub(" ", part).split()) for part in BETWEEN.split(prompt))
    missing = [thing for thing in dict.fromkeys(things) if thing and not is_known(vocabulary, thing)]
    return tuple(Unknown(thing, entry.word if (entry := nearest_thing(vocabulary, thing)) else "") for thing in missing)


def nearest_thing(vocabulary: Vocabulary, thing: str) -> Entry | None:
    """What a thing is called in English, else the known thing that its words are most like."""
    words = thing.split()
    for first in range(len(words)):
        entry = vocabulary.find(emoji) if (emoji := emoji_of(" ".join(words[first:]))) else None
        if entry is not None:
            return entry
    return vocabulary.nearest(thing)


def vocabulary_of(engine: ImageEngine, model: str) -> Vocabulary | None:
    """The things that a model knows, None where its files don't say."""
    row = next((each for each in engine.models() if each.name == model), None)
    return None if row is None or row.source.path is None else _vocabulary(row.source.path)


def is_known(vocabulary: Vocabulary, thing: str) -> bool:
    """Whether the thing, or what its last words name ("fluffy cat"), is there. Signs are no words: an emoji has to be said."""
    words = thing.split()
    return _WORDS.search(thing) is not None and any(vocabulary.knows(" ".join(words[first:])) for first in range(len(words)))


@functools.lru_cache(maxsize=4)
def _vocabulary(folder: Path) -> Vocabulary | None:
    return Vocabulary.load(folder) if (folder / FILE_NAME).is_file() else None


@functools.lru_cache(maxsize=4)
def _tokenizer(folder: Path) -> tuple[Any, int] | None:
    """The tokenizer of a model's folder, and how many tokens its text encoder takes."""
    import tokenizers

    file, settings = folder / "tokenizer" / "tokenizer.json", folder / "tokenizer" / "tokenizer_config.json"
    if not (file.is_file() and settings.is_file()):
        return None
    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, int(json.loads(settings.read_text(encoding="utf-8"))["model_max_length"])
