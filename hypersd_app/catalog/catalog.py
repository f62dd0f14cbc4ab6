"""The catalogue: every model, recipe and style that this machine can offer right now."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hypersd_app.catalog.accelerators import accelerating_recipes
from hypersd_app.catalog.builtin import hub_models, pocket_model, trained_students
from hypersd_app.catalog.embeddings import scan_embeddings
from hypersd_app.catalog.own_styles import is_own, own_style
from hypersd_app.catalog.revisions import pinned, read_pins
from hypersd_app.catalog.scanning.folders import model_folders
from hypersd_app.catalog.scanning.hashes import FileHasher, HashBook
from hypersd_app.catalog.scanning.library import StyleLibrary, style_files
from hypersd_app.catalog.scanning.scan import scan_models
from hypersd_app.catalog.scanning.style_index import StyleIndex
from hypersd_app.catalog.specs import ControlSpec, DecoderSpec, EmbeddingSpec, ModelSpec, Recipe, StyleSpec, bare_name
from hypersd_app.catalog.validation import one_of
from hypersd_app.settings import Settings

LONGEST_WAIT = 120.0  # seconds for the style files to be read, where one is asked for by name


class Catalog:
    """Rows by name. `rescan` replaces them whole, so that a reader in another thread never sees half a change."""

    def __init__(self, settings: Settings, *, behind: bool = False, hashing: bool = False) -> None:
        """`behind` reads many new style files in a thread, `hashing` hashes all. Raises InvalidRequest for unreadable pins."""
        self._settings = settings
        self._behind = behind
        self._library = StyleLibrary(StyleIndex(settings.cache))
        self._hashes = HashBook(settings.cache)
        self._hashing = FileHasher(self._hashes) if hashing else None
        self._publishing = threading.Lock()
        self.pins = read_pins(settings.revisions)
        self._models: dict[str, ModelSpec] = {}
        self._styles: tuple[StyleSpec, ...] = ()
        self._embeddings: tuple[EmbeddingSpec, ...] = ()
        self.generation = 0  # another number after each rescan, for those who keep rows
        self.rescan()

    def rescan(self) -> None:
        """Look again at the folders: new models, students and styles appear, removed ones go."""
        settings = self._settings
        folders = model_folders(settings)
        rows = [pocket_model(settings.assets / "pocket"), *hub_models(), *scan_models(settings.models, folders.checkpoints)]
        files = [*style_files([settings.assets / "pocket" / "styles"], "pocket"), *style_files(folders.styles)]
        embeddings = [row for folder in folders.embeddings for row in scan_embeddings(folder)]
        self._embeddings = tuple({(row.family, row.name): row for row in reversed(embeddings)}.values())
        self._publish(rows, self._library.read(files, lambda styles: self._publish(rows, styles), behind=self._behind))
        if self._hashing is not None:
            paths = [row.source.path for row in rows if row.source.path is not None and row.source.path.is_file()]
            paths += [file.path for file in files]
            self._hashing.start(paths, self._library.wait)

    @property
    def progress(self) -> tuple[int, int]:
        """(style files read, style files there are)."""
        return self._library.progress

    def _publish(self, rows: Sequence[ModelSpec], found: Iterable[StyleSpec]) -> None:
        """Show these models and styles from now on."""
        with self._publishing:
            self._show(rows, distinct(found))

    def _show(self, rows: Sequence[ModelSpec], styles: tuple[StyleSpec, ...]) -> None:
        students = trained_students(self._settings.runs)
        for style in styles:
            students.setdefault(style.family, []).extend(accelerating_recipes(style))
        models: dict[str, ModelSpec] = {}
        for row in rows:
            name = free_name(row.name, models)
            row = replace(row, name=name, recipes=(*row.recipes, *students.get(row.family, ())))
            models[name] = pinned(row, self.pins)
        self._models, self._styles = models, styles
        self.generation += 1

    def models(self) -> tuple[ModelSpec, ...]:
        """All models, the embedded one first."""
        return tuple(self._hashed_model(row) for row in self._models.values())

    def _hashed_model(self, row: ModelSpec) -> ModelSpec:
        path = row.source.path
        return replace(row, hashes=codes) if path is not None and (codes := self._hashes.known(path)) else row

    def model(self, name: str) -> ModelSpec:
        """One model. Raises InvalidRequest."""
        models = self._models
        one_of("model", name, models)
        return models[name]

    def recipes(self, model: str) -> tuple[Recipe, ...]:
        """The recipes of a model, the fastest first. Raises InvalidRequest."""
        return self.model(model).recipes

    def styles(self, model: str) -> tuple[StyleSpec, ...]:
        """The styles that fit a model. Raises InvalidRequest."""
        family = self.model(model).family
        return tuple(self._hashed_style(style) for style in self._styles if style.family == family)

    def _hashed_style(self, row: StyleSpec) -> StyleSpec:
        codes = self._hashes.known(row.path)
        return replace(row, hashes=(*row.hashes, *codes)) if codes else row

    def style(self, model: ModelSpec, name: str) -> StyleSpec:
        """One style of a model. Raises InvalidRequest."""
        if is_own(name):
            return own_style(self._settings.cache, name, model.family)
        rows = self._named(model)
        if name not in rows and not self._library.wait(0):  # it may be among those that are still being read
            self._library.wait(LONGEST_WAIT)
            rows = self._named(model)
        one_of("style", name, rows)
        return rows[name]

    def _named(self, model: ModelSpec) -> dict[str, StyleSpec]:
        return {style.name: style for style in self._styles if style.family == model.family}

    def embeddings(self, model: ModelSpec) -> tuple[EmbeddingSpec, ...]:
        """The textual-inversion embeddings that prompts of a model can name."""
        return tuple(row for row in self._embeddings if row.family == model.family)

    def style_named(self, model: ModelSpec, name: str) -> StyleSpec | None:
        """The style that other programs call so; None if there is none."""
        return style_called(name, [style for style in self._styles if style.family == model.family])

    @staticmethod
    def control(model: ModelSpec, kind: str) -> ControlSpec:
        """The ControlNet of a kind. Raises InvalidRequest."""
        one_of("control kind", kind, [control.kind for control in model.controls])
        return next(control for control in model.controls if control.kind == kind)

    @staticmethod
    def decoder(model: ModelSpec, name: str) -> DecoderSpec:
        """The named decoder, or for "" the full one. Raises InvalidRequest."""
        if not name:
            return model.decoders[0]
        one_of("decoder", name, [decoder.name for decoder in model.decoders])
        return next(decoder for decoder in model.decoders if decoder.name == name)


def style_called(name: str, styles: Sequence[StyleSpec]) -> StyleSpec | None:
    """The one of `styles` that other programs mean by `name`: by its own name, else its file, else its title or an alias."""
    wanted = bare_name(name)
    named = (style for style in styles if style.name == name)
    filed = (style for style in styles if bare_name(style.path.name) == wanted)
    called = (style for style in styles if style.called(name))
    return next(named, None) or next(filed, None) or next(called, None)


def distinct(found: Iterable[StyleSpec]) -> tuple[StyleSpec, ...]:
    """The styles under names of their own: a later one of the same family and name, from another folder, gets a number."""
    taken: dict[tuple[str, str], StyleSpec] = {}
    for style in found:
        name, number = style.name, 2
        while (style.family, name) in taken:
            name, number = f"{style.name}-{number}", number + 1
        taken[style.family, name] = replace(style, name=name)
    return tuple(taken.values())


def free_name(name: str, taken: dict[str, ModelSpec]) -> str:
    """`name`, with a number if another model already has it."""
    if name not in taken:
        return name
    return next(f"{name}-{number}" for number in range(2, len(taken) + 3) if f"{name}-{number}" not in taken)
