"""The visitor's own style files: checked, stored, and found again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypersd_app.catalog.lora.check import check_lora
from hypersd_app.catalog.lora.numbers import require_numbers
from hypersd_app.catalog.safetensors_header import TensorFile, read_header
from hypersd_app.catalog.scanning.scan import read_style
from hypersd_app.catalog.specs import StyleSpec
from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.server.engines.protocol import ImageEngine

LARGEST_STYLE = 2 * 1024**3  # bytes
TELLING = (
    "ss_base_model_version", "ss_sd_model_name", "modelspec.architecture", "modelspec.author", "modelspec.license",
    "modelspec.description", "ss_network_dim", "ss_network_alpha", "ss_num_train_images", "ss_steps", "description", "license",
)  # fmt: skip
LONGEST_VALUE = 120  # characters
UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Report:
    """A style that was added, with its file's metadata."""

    style: StyleSpec
    metadata: Mapping[str, str]
    bytes: int


class Library:
    """Adds files to `folder`; None means that visitors of this server may not."""

    def __init__(self, engine: ImageEngine, folder: Path | None) -> None:
        self.engine = engine
        self._folder = folder

    @property
    def open(self) -> bool:
        """Whether files may be added."""
        return self._folder is not None

    def add(self, path: Path) -> Report:
        """Check a style file and keep a copy of it. Raises InvalidRequest and ModelUnavailable."""
        if self._folder is None:
            raise ModelUnavailable("Style files can't be added on a public server; its owner puts them into the styles folder.")
        if path.suffix.lower() != ".safetensors":
            raise InvalidRequest("style file", path.name, "a .safetensors file (others may run code when they are read)")
        if path.stat().st_size > LARGEST_STYLE:
            raise InvalidRequest("style file", f"{path.stat().st_size / 1024**3:.1f} GB", f"at most {LARGEST_STYLE // 1024**3} GB")
        check_lora(path)
        family = read_style(path).family
        bases = [row for row in self.engine.models() if row.family == family]
        check_lora(path, bases)
        require_numbers(path)
        kept = self._keep(path, family)
        self.engine.rescan()
        return Report(read_style(kept, family, bases=bases), told(read_header(kept)), kept.stat().st_size)

    def _keep(self, path: Path, family: str) -> Path:
        """Copy into the family's folder under a name that is free, or is this very file's already."""
        assert self._folder is not None
        folder = self._folder / family
        folder.mkdir(parents=True, exist_ok=True)
        stem = UNSAFE.sub("-", path.stem).strip("-")[:80] or "style"
        for number in range(1, 1000):
            target = folder / f"{stem}{'' if number == 1 else f'-{number}'}.safetensors"
            if not target.exists():
                partial = target.with_suffix(".partial")
                shutil.copyfile(path, partial)
                partial.replace(target)  # a scan never sees half a file
                return target
            if same_content(path, target):
                return target
        raise InvalidRequest("style file", path.name, "a name that is not taken yet")

    def rescan(self) -> dict[str, Any]:
        """Look again for models, students and styles; says what is there now."""
        self.engine.rescan()
        models = self.engine.models()
        return {"models": [row.name for row in models], "styles": {row.name: self._names(row.name) for row in models}}

    def _names(self, model: str) -> list[str]:
        return [style.name for style in self.engine.styles(model)]


def told(header: TensorFile) -> dict[str, str]:
    """The readable part of a file's metadata, one line per value."""
    return {key: header.metadata[key][:LONGEST_VALUE] for key in TELLING if header.metadata.get(key)}


def same_content(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as a, other.open("rb") as b:
        return all(x == y for x, y in zip(iter(lambda: a.read(1 << 20), b""), iter(lambda: b.read(1 << 20), b""), strict=True))
