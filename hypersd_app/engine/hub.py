"""Weights from the Hub: only the files a component needs, only safetensors, checked, with errors people understand."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm import tqdm

from hypersd_app.catalog.headers import read_header
from hypersd_app.catalog.rows import WeightSource
from hypersd_app.errors import ModelUnavailable

logger = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
SMALL_FILES = (".json", ".txt", ".model")  # configurations and tokenizers
UNAUTHORIZED, FORBIDDEN = 401, 403
SHA256_DIGITS = 64
CHUNK = 1 << 22


class Hub:
    """A client of one Hub. `endpoint` and `cache` default to HF_ENDPOINT and HF_HOME."""

    def __init__(self, offline: bool = False, endpoint: str | None = None, cache: Path | None = None) -> None:
        self.offline = offline
        self._endpoint = endpoint
        self._cache = cache
        self._api = HfApi(endpoint=endpoint)
        self._lock = threading.Lock()  # one download at a time: two would only share the line

    def file(self, source: WeightSource, progress: Progress | None = None) -> Path:
        """One file of a repository, downloaded if need be. Raises ModelUnavailable."""
        if source.path is not None:
            return source.path
        with self._lock, hub_errors(source):
            return self._download(source, source.filename, source.revision, progress)

    def folder(self, source: WeightSource, components: Iterable[str], progress: Progress | None = None) -> Path:
        """A folder with the configuration and safetensors weights of `components`; "" is the top. Raises ModelUnavailable."""
        return self._folder(source, list(components), progress, weights=True)

    def configuration(self, source: WeightSource, components: Iterable[str], progress: Progress | None = None) -> Path:
        """Like `folder` without any weights. Raises ModelUnavailable."""
        return self._folder(source, ["", *components], progress, weights=False)

    def _folder(self, source: WeightSource, components: list[str], progress: Progress | None, weights: bool) -> Path:
        if source.path is not None:
            return source.path
        with self._lock, hub_errors(source):
            if self.offline:
                return self._local_snapshot(source)
            names = self._listing(source)
            return (
                self._local_snapshot(source) if names is None else self._download_all(source, names, components, progress, weights)
            )

    def _listing(self, source: WeightSource) -> tuple[str, list[str]] | None:
        """Commit and file names of a repository, None if the Hub cannot be reached."""
        try:
            info = self._api.model_info(source.repo, revision=source.revision, timeout=20)
        except HfHubHTTPError:
            raise
        except (HTTPError, OfflineModeIsEnabled) as error:
            logger.info("the Hub cannot be reached (%s); looking for %s on this machine", error, source)
            return None
        return info.sha or "main", [sibling.rfilename for sibling in info.siblings or ()]

    def files(self, source: WeightSource, names: Iterable[str], progress: Progress | None = None) -> list[Path]:
        """Some files of a repository. Raises ModelUnavailable."""
        return [self.file(replace(source, filename=name), progress) for name in names]

    def _local_snapshot(self, source: WeightSource) -> Path:
        return Path(snapshot_download(source.repo, revision=source.revision, cache_dir=self._cache, local_files_only=True))

    def _download_all(
        self, source: WeightSource, listing: tuple[str, list[str]], components: list[str], progress: Progress | None, weights: bool
    ) -> Path:
        commit, names = listing
        root = None
        for name in [name for component in components for name in component_files(names, component, weights)]:
            # The first goes by its branch, which notes the commit on disk: that is how an offline run finds it again.
            path = self._download(source, name, source.revision if root is None else commit, progress)
            root = path.parents[name.count("/")]
        if root is None:
            raise ModelUnavailable(f"{source} holds no safetensors weights for {', '.join(components) or 'a model'}.")
        return root

    def _download(self, source: WeightSource, name: str, revision: str | None, progress: Progress | None) -> Path:
        cached = try_to_load_from_cache(source.repo, name, cache_dir=self._cache, revision=revision)
        path = Path(
            hf_hub_download(
                source.repo,
                name,
                revision=revision,
                cache_dir=self._cache,
                endpoint=self._endpoint,
                local_files_only=self.offline,
                tqdm_class=None if progress is None else reporting_bar(progress, f"{source.repo}: {name}"),
            )
        )
        if not isinstance(cached, str):
            check_download(path, f"{source.repo}/{name}")
        return path


def component_files(names: list[str], component: str, with_weights: bool = True) -> list[str]:
    """What one component needs of a repository's files: small ones and one set of safetensors, the half-size if there."""
    prefix = f"{component}/" if component else ""
    inside = [name for name in names if name.startswith(prefix) and "/" not in name.removeprefix(prefix)]
    small = [name for name in inside if name.endswith(SMALL_FILES) and not name.endswith(".index.json")]
    if not with_weights:
        return small
    weights = [name for name in inside if name.endswith(".safetensors") and "non_ema" not in name]
    if not component:  # the top of a repository may hold whole checkpoints too
        weights = [name for name in weights if name.startswith("diffusion_pytorch_model")]
    half = [name for name in weights if ".fp16." in name]
    full = [name for name in weights if ".fp16" not in name]
    indices = [name for name in inside if name.endswith(".safetensors.index.json")] if not half else []
    return [*small, *indices, *(half or full)]


def check_download(path: Path, name: str) -> None:
    """Compare a new file with the hash it is stored under, if it has one. Deletes it and raises ModelUnavailable if damaged."""
    blob = path.resolve()
    try:
        if len(blob.name) == SHA256_DIGITS and sha256(blob) != blob.name:
            raise ModelUnavailable(f"{name} arrived damaged (wrong hash).")
        if path.suffix == ".safetensors":
            read_header(path)
    except ModelUnavailable as error:
        path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
        raise ModelUnavailable(f"{name} arrived damaged and was deleted; try again to download it anew. ({error})") from error


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def reporting_bar(progress: Progress, name: str) -> type[tqdm]:
    """A progress bar class that reports to a callback instead of drawing itself."""

    class ReportingBar(tqdm):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": False, "file": _Nowhere()})

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            if self.total:
                progress(self.n / self.total, f"Downloading {name}, {self.n / 1e6:.0f} of {self.total / 1e6:.0f} MB")
            return shown

    return ReportingBar


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Nothing to flush."""


@contextmanager
def hub_errors(source: WeightSource) -> Iterator[None]:
    """Turn whatever the Hub's client raises into ModelUnavailable with what the user can do."""
    try:
        yield
    except GatedRepoError as error:
        raise ModelUnavailable(f"{source} asks for an accepted licence: accept it on its page and set HF_TOKEN.") from error
    except RepositoryNotFoundError as error:
        raise ModelUnavailable(f"{source} does not exist on the Hub, or is private: check the name and HF_TOKEN.") from error
    except RevisionNotFoundError as error:
        raise ModelUnavailable(f"{source} has no revision {source.revision!r}.") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        if isinstance(error.__cause__, HfHubHTTPError):
            raise ModelUnavailable(_http_message(source, error.__cause__)) from error
        raise ModelUnavailable(
            f"{source} is not on this machine and the Hub cannot be reached. Connect once to download it; Pocket runs without."
        ) from error
    except EntryNotFoundError as error:
        raise ModelUnavailable(f"{source} does not hold the file that is needed: {error}") from error
    except HfHubHTTPError as error:
        raise ModelUnavailable(_http_message(source, error)) from error
    except (HTTPError, OSError, RuntimeError) as error:
        raise ModelUnavailable(
            f"The download of {source} broke off; try again, it continues where it stopped. ({error})"
        ) from error


def _http_message(source: WeightSource, error: HfHubHTTPError) -> str:
    status = error.response.status_code if error.response is not None else 0
    if status in (UNAUTHORIZED, FORBIDDEN):
        return f"The Hub refused access to {source} ({status}): set a valid HF_TOKEN, and accept its licence if it has one."
    return f"The Hub answered {status} for {source}; try again later."
