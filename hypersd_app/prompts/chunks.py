"""Weighted words to chunks of as many tokens as a text encoder reads at once, as A1111 and as ComfyUI fill them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hypersd_app.prompts.weights import Segment

BACKTRACK = 20  # tokens from the end of a chunk in which A1111 looks for a comma to end it at
LONG_WORD = 8  # tokens from which ComfyUI breaks a word at a chunk's end
EMBEDDING = "embedding:"


@dataclass(frozen=True)
class Vector:
    """In place of a token: row `index` of a textual-inversion embedding."""

    embedding: str
    index: int


Token = int | Vector


@dataclass(frozen=True)
class Chunk:
    """Start, words, end and padding, as many as the encoder reads, each with its weight."""

    tokens: tuple[Token, ...]
    weights: tuple[float, ...]

    @property
    def plain(self) -> bool:
        """Whether every weight is 1."""
        return all(weight == 1.0 for weight in self.weights)


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """What has to be known of a tokenizer. `ids` gives tokens without start and end, `word` that of a whole word, if it is one."""

    ids: Callable[[str], Sequence[int]]
    word: Callable[[str], int | None]
    start: int
    end: int
    pad: int
    length: int  # tokens that an encoder reads at once, start and end among them
    comma: int | None = None

    def filled(self, words: Sequence[tuple[Token, float]]) -> Chunk:
        """A chunk of at most `length` - 2 words."""
        rest = self.length - 2 - len(words)
        tokens = (self.start, *(token for token, _ in words), self.end, *[self.pad] * rest)
        return Chunk(tokens, (1.0, *(weight for _, weight in words), *[1.0] * (rest + 1)))


@dataclass
class _A1111Chunks:
    table: TokenTable
    names: Mapping[int, Sequence[tuple[tuple[int, ...], str, int]]]  # first token of a name -> its tokens, name and vectors
    done: list[Chunk] = field(default_factory=list)
    words: list[tuple[Token, float]] = field(default_factory=list)
    last_comma: int = -1

    @property
    def room(self) -> int:
        return self.table.length - 2

    def end(self) -> None:
        self.done.append(self.table.filled(self.words))
        self.words, self.last_comma = [], -1

    def add(self, tokens: Sequence[int], weight: float) -> None:
        position = 0
        while position < len(tokens):
            token = tokens[position]
            self._make_room(token)
            found = self._embedding(tokens, position)
            if found is None:
                self.words.append((token, weight))
                position += 1
                continue
            length, name, vectors = found
            if len(self.words) + vectors > self.room:
                self.end()
            self.words += [(Vector(name, index), weight) for index in range(min(vectors, self.room))]
            position += length

    def _make_room(self, token: int) -> None:
        full = len(self.words) == self.room
        if token == self.table.comma:
            self.last_comma = len(self.words)
        elif full and self.last_comma != -1 and len(self.words) - self.last_comma <= BACKTRACK:
            cut = self.last_comma + 1
            moved, self.words = self.words[cut:], self.words[:cut]
            self.end()
            self.words = moved
        if len(self.words) == self.room:
            self.end()

    def _embedding(self, tokens: Sequence[int], position: int) -> tuple[int, str, int] | None:
        for ids, name, vectors in self.names.get(tokens[position], ()):
            if tuple(tokens[position : position + len(ids)]) == ids:
                return len(ids), name, vectors
        return None


def a1111_chunks(segments: Iterable[Segment], table: TokenTable, embeddings: Mapping[str, int]) -> list[Chunk]:
    """As A1111 fills them: full ones end at a comma nearby. `embeddings` are names with their numbers of vectors."""
    made = _A1111Chunks(table, _by_first_token(table, embeddings))
    for segment in segments:
        if segment.breaks:
            made.end()
        else:
            made.add(table.ids(segment.text), segment.weight)
    if made.words or not made.done:
        made.end()
    return made.done


def _by_first_token(table: TokenTable, embeddings: Mapping[str, int]) -> dict[int, list[tuple[tuple[int, ...], str, int]]]:
    """Names of embeddings by their first token, the longest first."""
    found: dict[int, list[tuple[tuple[int, ...], str, int]]] = {}
    for name, vectors in embeddings.items():
        if ids := tuple(table.ids(name)):
            found.setdefault(ids[0], []).append((ids, name, vectors))
    return {first: sorted(rows, key=lambda row: len(row[0]), reverse=True) for first, rows in found.items()}


def comfyui_chunks(segments: Iterable[Segment], table: TokenTable, embeddings: Mapping[str, int]) -> list[Chunk]:
    """As ComfyUI fills them: words stay whole, `embedding:name` stands for its vectors."""
    done: list[Chunk] = []
    words: list[tuple[Token, float]] = []
    for group in _groups(segments, table, embeddings):
        rest = group
        while len(words) + len(rest) > table.length - 2:
            taken = table.length - 2 - len(words) if len(group) >= LONG_WORD else 0
            done.append(table.filled([*words, *rest[:taken]]))
            words, rest = [], rest[taken:]
        words += rest
    return [*done, table.filled(words)]


def _groups(segments: Iterable[Segment], table: TokenTable, embeddings: Mapping[str, int]) -> Iterable[list[tuple[Token, float]]]:
    """Tokens word by word."""
    longest = table.length - 2
    for segment in segments:
        for part in segment.text.replace("\n", " ").split(" "):
            word = part
            if word.startswith(EMBEDDING):
                name, word = _embedding_name(word.removeprefix(EMBEDDING), embeddings)
                if name:
                    yield [(Vector(name, index), segment.weight) for index in range(min(embeddings[name], longest))]
            if word:
                whole = table.word(word)
                tokens = table.ids(word) if whole is None else [whole]
                yield [(token, segment.weight) for token in tokens]


def _embedding_name(said: str, embeddings: Mapping[str, int]) -> tuple[str, str]:
    """The embedding that is meant and what is left over, `embedding:ink,` say; an unknown one leaves nothing, as in ComfyUI."""
    if said in embeddings:
        return said, ""
    bare = said.strip(",")
    if bare not in embeddings:
        return "", said[len(bare) :] if len(bare) < len(said) else ""
    return bare, said[len(bare) :]
