"""What an installation takes and where it can be made: sizes, other systems' packages, the files that install."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

from hypersd_app.settings import ROOT, Settings
from tests.support.space_builder import space_builder

LIMIT = 700e6  # bytes of everything but torch and what torch brings
TORCH = ("torch", "torchvision")
REGISTRY = "https://pypi.org/simple"
SYSTEMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "aarch64-apple-darwin")


def lines(file: str) -> list[str]:
    texts = (line.partition("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines())
    return [text for text in texts if text]


def installed_bytes(name: str) -> int:
    distribution = importlib.metadata.distribution(name)
    paths = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    return sum(path.lstat().st_size for path in paths if path.is_file())


def test_all_but_torch_is_small() -> None:
    packages_of = space_builder().packages_of
    sizes = {name: installed_bytes(name) for name in packages_of(lines("requirements.txt")) - packages_of(list(TORCH))}
    largest = sorted(sizes.items(), key=lambda row: -row[1])[:6]
    assert 300e6 < sum(sizes.values()) <= LIMIT, largest


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_wheels_exist_for(system: str, tmp_path: Path) -> None:
    try:
        httpx.head(f"{REGISTRY}/pip/", timeout=20).raise_for_status()
    except httpx.HTTPError as error:
        pytest.skip(f"the package registry can't be asked: {error}")
    out = tmp_path / "resolved.txt"
    command = [sys.executable, "-m", "uv", "--no-config", "pip", "compile", str(ROOT / "requirements.txt"), "--quiet"]
    options = ["--python-platform", system, "--python-version", "3.12", "--only-binary", ":all:", "--default-index", REGISTRY]
    done = subprocess.run([*command, *options, "-o", str(out)], check=False, capture_output=True, encoding="utf-8", timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    resolved = out.read_text(encoding="utf-8")
    assert re.search(r"^torch==", resolved, re.MULTILINE)
    assert bool(re.search(r"^openvino==", resolved, re.MULTILINE)) == system.startswith("x86_64")


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [("Windows", "AMD64", True), ("Linux", "x86_64", True), ("Darwin", "arm64", False), ("Linux", "aarch64", False)],
)
def test_openvino_comes_where_its_kernels_are_fast(system: str, machine: str, expected: bool) -> None:
    (line,) = (line for line in lines("requirements.txt") if line.startswith("openvino"))
    marker = Requirement(line).marker
    assert marker is not None
    assert marker.evaluate({"platform_system": system, "platform_machine": machine}) is expected


def test_the_batch_file_is_one_that_windows_reads() -> None:
    data = (ROOT / "run.bat").read_bytes()
    assert data.isascii() and data.count(b"\n") == data.count(b"\r\n")
    text = data.decode("ascii")
    labels = set(re.findall(r"^:(\w+)", text, re.MULTILINE))
    assert set(re.findall(r"goto (\w+)", text)) == labels
    assert "requirements.txt" in text and "hypersd_app serve %*" in text


def test_the_image_holds_what_its_lines_copy_and_settings_that_exist() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [name for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert copied and all((ROOT / name).exists() and f"!{name}" in ignored for name in copied)
    names = set(re.findall(r"\bHYPERSD_([A-Z_]+)=", text))
    assert names and all(hasattr(Settings(), name.lower()) for name in names)
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
    assert (ROOT / "compose.yaml").exists()
