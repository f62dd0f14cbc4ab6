"""One file into the Hub's own cache, going on where an earlier call or an earlier program stopped.

The Hub's client deletes what it has when a connection breaks for good, so the bytes are fetched here, into a `.part` file
beside the place they belong to; which name points at them stays the client's work.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, HTTPError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers, hf_raise_for_status, http_stream_backoff

from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.errors import ModelUnavailable

logger = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
ATTEMPTS = 5  # in a row that bring no byte
PAUSE = 1.0  # seconds between them
CHUNK = 1 << 20  # bytes; what a cut connection may lose
PARTIAL, RANGE_NOT_SATISFIABLE = 206, 416
BUSY = (408, 429)
SHA256_DIGITS = 64


@dataclass(frozen=True)
class RemoteFile:
    """A file as the Hub describes it. `etag` is its SHA-256 where it is large, `size` its bytes where they are known."""

    name: str  # for people: repository and file
    url: str
    etag: str
    size: int | None


def blob_path(repo: str, etag: str, cache: Path | None) -> Path:
    """Where the Hub's cache keeps the bytes of a file."""
    return _cache(cache) / repo_folder_name(repo_id=repo, repo_type="model") / "blobs" / etag


def _cache(cache: Path | None) -> Path:
    return cache or Path(constants.HF_HUB_CACHE)


def fetch(remote: RemoteFile, repo: str, cache: Path | None, progress: Progress | None) -> None:
    """Make the blob of `remote` be there, whole. Raises ModelUnavailable if what arrived is damaged, HTTPError and OSError."""
    blob = blob_path(repo, remote.etag, cache)
    if _is_whole(blob, remote):
        return  # nothing is written: the cache may be read-only
    lock = _cache(cache) / ".locks" / repo_folder_name(repo_id=repo, repo_type="model") / f"{remote.etag}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):  # other programs may be fetching the same file
        if _is_whole(blob, remote):
            return
        if blob.exists():
            logger.warning("%s is damaged on disk and will be downloaded anew", remote.name)
            blob.unlink()
        part = blob.with_name(f"{blob.name}.part")
        _stream(remote, part, progress)
        _check(remote, part)
        part.replace(blob)


def _check(remote: RemoteFile, part: Path) -> None:
    same = len(remote.etag) != SHA256_DIGITS or sha256(part) == remote.etag
    if not same or not _is_whole(part, remote):
        part.unlink()
        raise ModelUnavailable(f"{remote.name} arrived damaged and was deleted; try again to download it anew.")


def _is_whole(path: Path, remote: RemoteFile) -> bool:
    return path.exists() and remote.size in (None, path.stat().st_size) and is_sound(path, remote.name)


def is_sound(path: Path, name: str) -> bool:
    """Whether `path`, which holds a file called `name`, can be what its name says, by what is cheap to look at."""
    try:
        if name.endswith(".safetensors"):
            read_header(path)
        elif name.endswith(".json"):
            json.loads(path.read_text(encoding="utf-8"))
    except (ModelUnavailable, OSError, ValueError, RecursionError):
        return False
    return True


def _stream(remote: RemoteFile, part: Path, progress: Progress | None) -> None:
    """Append to `part` until all is there. A connection that breaks is opened again where it stopped."""
    failures = 0
    while True:
        before = _size(part)
        if remote.size is not None and before == remote.size:
            return
        try:
            return _append(remote, part, progress)
        except HfHubHTTPError:
            raise  # an answer, not a broken line
        except HTTPError as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= ATTEMPTS:
                raise
            logger.info("%s broke off at %d bytes (%s); going on", remote.name, _size(part), error)
            time.sleep(PAUSE)


def _append(remote: RemoteFile, part: Path, progress: Progress | None) -> None:
    start = _size(part)
    headers: Mapping[str, str] = {
        **build_hf_headers(),
        "Accept-Encoding": "identity",  # a range of compressed bytes would be of no use
        **({"Range": f"bytes={start}-"} if start else {}),
    }
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    # Only "too many requests" is waited for here: what a broken line needs is another range.
    with http_stream_backoff(
        "GET", remote.url, headers=headers, timeout=timeout, retry_on_exceptions=(), retry_on_status_codes=BUSY
    ) as response:
        if response.status_code == RANGE_NOT_SATISFIABLE:
            part.unlink()
            raise ModelUnavailable(f"{remote.name} changed while it was downloaded; try again.")
        hf_raise_for_status(response)
        goes_on = start > 0 and response.status_code == PARTIAL
        done = start if goes_on else 0
        with part.open("ab" if goes_on else "wb") as file:
            for chunk in response.iter_bytes(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if progress is not None and remote.size:
                    progress(done / remote.size, f"Downloading {remote.name}, {done / 1e6:.0f} of {remote.size / 1e6:.0f} MB")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
