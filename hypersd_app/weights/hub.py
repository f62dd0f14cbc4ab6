"""Weights from the Hub: only the files a component needs, only safetensors, checked, with errors people understand."""

from __future__ import annotations

import logging
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
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

from hypersd_app.catalog.specs import WeightSource
from hypersd_app.errors import ModelUnavailable
from hypersd_app.weights.downloads import Progress, RemoteFile, fetch, is_sound

logger = logging.getLogger(__name__)

SMALL_FILES = (".json", ".txt", ".model")  # configurations and tokenizers
HALF = ".fp16"
UNAUTHORIZED, FORBIDDEN = 401, 403
COMMIT = re.compile(r"[0-9a-f]{40}")


class Hub:
    """A client of one Hub. `endpoint` and `cache` default to HF_ENDPOINT and HF_HOME."""

    def __init__(self, offline: bool = False, endpoint: str | None = None, cache: Path | None = None) -> None:
        self.offline = offline
        self._endpoint = endpoint
        self._cache = cache
        self._api = HfApi(endpoint=endpoint)
        # One download at a time from a repository; another one's files need not wait for them.
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def file(self, source: WeightSource, progress: Progress | None = None) -> Path:
        """One file of a repository, downloaded if need be. Raises ModelUnavailable."""
        if source.path is not None:
            return source.path
        with self._locks[source.repo], hub_errors(source):
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
        with self._locks[source.repo], hub_errors(source):
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
        known = isinstance(cached, str) and is_sound(Path(cached), name)
        pinned = revision is not None and COMMIT.fullmatch(revision) is not None
        if not self.offline and not (known and pinned):
            self._fetch(source, name, revision, progress)
        path = Path(
            hf_hub_download(
                source.repo,
                name,
                revision=revision,
                cache_dir=self._cache,
                endpoint=self._endpoint,
                local_files_only=self.offline,
            )
        )
        if not is_sound(path, name):  # and the Hub could not be asked for another
            raise ModelUnavailable(f"{source.repo}/{name} is damaged on this machine; connect once to download it anew.")
        return path

    def _fetch(self, source: WeightSource, name: str, revision: str | None, progress: Progress | None) -> None:
        """Bring the bytes of a file into the cache. Where the Hub does not describe it, its client says why, or finds a copy."""
        url = hf_hub_url(source.repo, name, revision=revision, endpoint=self._endpoint)
        try:
            found = get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT, endpoint=self._endpoint)
        except (HTTPError, OfflineModeIsEnabled) as error:
            logger.debug("%s is not described: %s", url, error)
            return
        if found.etag and found.commit_hash:
            here = try_to_load_from_cache(source.repo, name, cache_dir=self._cache, revision=found.commit_hash)
            if isinstance(here, str):
                if found.size in (None, Path(here).stat().st_size) and is_sound(Path(here), name):
                    return  # where a disk has no links, its blob is not kept apart
                Path(here).unlink()
            # By the commit, so that a branch that moves meanwhile does not mix two files.
            url = hf_hub_url(source.repo, name, revision=found.commit_hash, endpoint=self._endpoint)
            fetch(RemoteFile(f"{source.repo}/{name}", url, found.etag, found.size), source.repo, self._cache, progress)


def component_files(names: list[str], component: str, with_weights: bool = True) -> list[str]:
    """What one component needs of a repository's files: small ones and one set of safetensors, the half-size if there."""
    prefix = f"{component}/" if component else ""
    inside = [name for name in names if name.startswith(prefix) and "/" not in name.removeprefix(prefix)]
    small = [name for name in inside if name.endswith(SMALL_FILES) and ".index." not in name]
    if not with_weights:
        return small
    weights = [name for name in inside if name.endswith(".safetensors") and "non_ema" not in name]
    if not component:  # the top of a repository may hold whole checkpoints too
        weights = [name for name in weights if name.startswith("diffusion_pytorch_model")]
    half = [name for name in weights if HALF in name]  # also `model.fp16-00001-of-00002.safetensors`
    index = ".safetensors.index.fp16.json" if half else ".safetensors.index.json"
    return [*small, *(name for name in inside if name.endswith(index)), *(half or weights)]


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
    except ValueError as error:
        raise ModelUnavailable(f"The Hub's answer about {source} cannot be read; try again later. ({error})") from error
    except (HTTPError, OSError, RuntimeError) as error:
        raise ModelUnavailable(
            f"The download of {source} broke off; try again, it continues where it stopped. ({error})"
        ) from error


def _http_message(source: WeightSource, error: HfHubHTTPError) -> str:
    status = error.response.status_code if error.response is not None else 0
    if status in (UNAUTHORIZED, FORBIDDEN):
        return f"The Hub refused access to {source} ({status}): set a valid HF_TOKEN, and accept its licence if it has one."
    return f"The Hub answered {status} for {source}; try again later."
