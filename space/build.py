"""`python space/build.py FOLDER`: the folder that one pushes to a Hugging Face Space, checked; `--start` opens it and draws.

It starts in an environment that holds the packages of the Space's requirements and nothing else: they are linked from the
environment this runs in, so that neither network nor gigabytes are needed.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("app.py", "pyproject.toml", "LICENSE", "NOTICE", "hypersd_app", "assets/pocket")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "evaluation", "training")  # nothing of which serves
BESIDES = ("spaces",)  # what a Space needs besides requirements.txt
LARGEST_PLAIN = 10 * 2**20  # bytes of a file that is not in LFS
LARGEST_FOLDER = 2**30
LINKED = 2**20  # bytes from which on files are linked, not copied
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
START_SECONDS = 600


def build(folder: Path) -> None:
    """Write the Space into `folder`, which is emptied first, but for its `.git`."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.name != ".git":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name in COPIED:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=LEFT_OUT, copy_function=linked)
        else:
            shutil.copy(ROOT / name, target)
    page = (ROOT / "space" / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(page.replace("{gradio}", importlib.metadata.version("gradio")), encoding="utf-8")
    shutil.copy(ROOT / "space" / "gitattributes", folder / ".gitattributes")
    (folder / "requirements.txt").write_text("\n".join(pinned_requirements()) + "\n", encoding="utf-8")


def linked(source: str, target: str) -> None:
    """A copy of a file; of a large one, which nobody edits, a hard link where the file system has them."""
    if Path(source).stat().st_size > LINKED:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


def pinned_requirements() -> Iterator[str]:
    """What serving needs, at the versions that are installed here and tested."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for text in (*(line.partition("#")[0].strip() for line in lines), *BESIDES):
        if text:
            wanted = Requirement(text)
            extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
            marker = f"; {wanted.marker}" if wanted.marker else ""
            version = importlib.metadata.version(wanted.name).partition("+")[0]
            yield f"{wanted.name}{extras}=={version}{marker}"


def faults(folder: Path) -> list[str]:
    """What the Hub would refuse, or a Space stumble over."""
    found = []
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts]
    patterns = [line.split()[0] for line in (folder / ".gitattributes").read_text(encoding="utf-8").splitlines() if "lfs" in line]
    for path in files:
        if path.stat().st_size > LARGEST_PLAIN and not any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns):
            found.append(f"{path.relative_to(folder)} is larger than 10 MiB and not in LFS")
    if sum(path.stat().st_size for path in files) > LARGEST_FOLDER:
        found.append("the folder is larger than 1 GiB")
    return found + front_matter_faults(folder)


def front_matter(folder: Path) -> dict[str, str]:
    """The plain fields of the page's head."""
    page = (folder / "README.md").read_text(encoding="utf-8")
    head = re.match(r"---\n(.*?)\n---\n", page, re.DOTALL)
    rows = re.findall(r"^(\w+): *(.*)$", head[1], re.MULTILINE) if head else []
    return {name: value.strip('"') for name, value in rows}


def front_matter_faults(folder: Path) -> list[str]:
    """What is wrong with the page's head."""
    head, found = front_matter(folder), []
    missing = {
        "title",
        "emoji",
        "colorFrom",
        "colorTo",
        "sdk",
        "sdk_version",
        "python_version",
        "app_file",
        "license",
    } - head.keys()
    if missing:
        found.append(f"README.md lacks {', '.join(sorted(missing))}")
    if any(head.get(name) not in COLOURS for name in ("colorFrom", "colorTo")):
        found.append("colorFrom and colorTo have to be colours of the Hub")
    if len(head.get("short_description", "")) > 60:
        found.append("short_description is longer than 60 characters")
    if not (folder / head.get("app_file", "none")).is_file():
        found.append("app_file is not there")
    requirements = (folder / "requirements.txt").read_text(encoding="utf-8")
    if f"gradio[mcp]=={head.get('sdk_version')}" not in requirements:
        found.append("sdk_version is not the Gradio of requirements.txt")
    return found


def packages_of(requirements: list[str]) -> set[str]:
    """Names of all packages that these bring with them."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting: list[tuple[Requirement, tuple[str, ...]]] = [(Requirement(text), ("",)) for text in requirements]
    while waiting:
        wanted, extras = waiting.pop()
        key = (re.sub(r"[-_.]+", "-", wanted.name).lower(), tuple(sorted(wanted.extras)))
        if key in seen or (wanted.marker and not any(wanted.marker.evaluate({"extra": extra}) for extra in extras)):
            continue
        seen.add(key)
        waiting += [
            (Requirement(text), ("", *wanted.extras)) for text in importlib.metadata.distribution(wanted.name).requires or []
        ]
    return {name for name, _ in seen}


def clean_environment(folder: Path, requirements: list[str]) -> Path:
    """The Python of a new environment with these packages and what they bring, linked from this one."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.rglob("site-packages"))
    for name in packages_of(requirements):
        distribution = importlib.metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}
        for top in tops:
            source = Path(str(distribution.locate_file(top)))
            if source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)
    return folder / "bin" / "python"


def start(folder: Path, port: int, python: Path) -> None:
    """Open the Space as the Hub does, until it is ready, and draw one image. Raises SystemExit if that fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HYPERSD_", "PYTHON", "GRADIO_", "VIRTUAL"))}
    space = {"SPACE_ID": "somebody/studio", "GRADIO_SERVER_NAME": "0.0.0.0", "HYPERSD_PORT": str(port), "HYPERSD_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as cache:
        environment = {**kept, **space, "HYPERSD_CACHE": cache, "HYPERSD_BACKEND": "torch"}
        process = subprocess.Popen([str(python), "app.py"], cwd=folder, env=environment)
        try:
            await_ready(port, process)
            draw(port)
        finally:
            process.terminate()
            process.wait(30)


def await_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until /ready answers 200."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=10) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("the Space did not start")


def draw(port: int) -> None:
    """One image through the named endpoint."""
    from gradio_client import Client

    made = Client(f"http://127.0.0.1:{port}/", verbose=False).predict("a red apple", 1, 3, 1, api_name="/text_to_image")
    if not Path(made[0]["image"]).stat().st_size:
        raise SystemExit("the Space drew nothing")


def main() -> int:
    """Build, check, and start if asked to; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--start", action="store_true", help="open it in a clean environment and draw")
    arguments = parser.parse_args()
    build(arguments.folder)
    found = faults(arguments.folder)
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    if not found and arguments.start:
        with socket.socket() as probe, tempfile.TemporaryDirectory() as environment:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            probe.close()
            requirements = (arguments.folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
            start(arguments.folder, port, clean_environment(Path(environment), requirements))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
