"""The wheel: built from a clean copy, installed into an environment of its own, run by its command."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from hypersd_app.bench.browser.chromium import free_port
from hypersd_app.errors import ModelUnavailable
from hypersd_app.settings import ROOT, Settings, cache_folder
from tests.support.file_names import writable
from tests.support.server_process import await_ready

BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", *(path.name for path in ROOT.glob("requirements*.txt")))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without network from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = shutil.copytree(ROOT / "hypersd_app", folder / "checkout" / "hypersd_app", ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, copy.parent)
    pip("wheel", str(copy.parent), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`hypersd-studio` in an environment that has the wheel, and everything else from the environment of the tests."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False, symlinks=True)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    pip("--python", str(scripts / "python"), "install", "--no-deps", "--no-index", str(wheel))
    site = next(environment.rglob("site-packages"))
    (site / "packages_of_the_tests.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n", encoding="utf-8")
    return scripts / "hypersd-studio"


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr[-4000:]


def ran(command: Path, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command run in `folder`, where nothing of the checkout is seen."""
    return subprocess.run(
        [command, *arguments],
        cwd=folder,
        env={**without_ours(), **variables},
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


def without_ours() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("HYPERSD_")}


def test_the_wheel_has_every_file_of_the_package_and_no_weights(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "hypersd_app").rglob("*") if path.is_file()}
    assert packed == {name for name in here if "__pycache__" not in name}
    assert wheel.stat().st_size < 5 * 2**20


def test_the_command_is_there_and_runs_the_installed_code(command: Path, tmp_path: Path) -> None:
    told = ran(command, tmp_path, "--help")
    assert told.returncode == 0 and "usage: hypersd-studio" in told.stdout
    code = "import hypersd_app; print(hypersd_app.__file__)"
    where = subprocess.run(
        [command.with_name("python"), "-c", code],
        cwd=tmp_path,
        env=without_ours(),
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert Path(where.stdout.strip()).is_relative_to(command.parents[1])


@pytest.mark.parametrize("arguments", [("generate", "a cat"), ("serve",)])
def test_without_weights_it_says_in_one_line_what_to_set(command: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    told = ran(command, tmp_path, *arguments)
    assert told.returncode == 1
    assert told.stderr.startswith(f"error: Pocket's weights are not in {tmp_path / 'assets' / 'pocket'}")
    assert "HYPERSD_ASSETS" in told.stderr and told.stderr.count("\n") == 1


@pytest.mark.slow
def test_it_serves_with_the_weights_of_the_folder_it_starts_in(command: Path, tmp_path: Path) -> None:
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    port = free_port()
    console = {"PYTHONIOENCODING": "ascii"}  # Gradio greets with pictograms
    environment = {**without_ours(), **console, "HYPERSD_BACKEND": "torch", "HYPERSD_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen([command, "serve", "--port", str(port)], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    try:
        await_ready(port, process)  # the page is built of the wheel's files, and the first image is drawn
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.slow
def test_it_serves_in_an_odd_place(command: Path, tmp_path: Path) -> None:
    """No home, a proxy that is down, IPv6, an old Windows console, a folder with spaces and other scripts."""
    folder = tmp_path / writable("Ордner mit Ümläut 絵", "a folder with spaces")
    (folder / "temporary").mkdir(parents=True)
    (folder / "assets").symlink_to(ROOT / "assets")
    port = free_port()
    odd = {
        "HOME": "/nonexistent",
        "TMPDIR": str(folder / "temporary"),
        "HYPERSD_HOST": "::1",
        "HYPERSD_BACKEND": "torch",
        "PYTHONIOENCODING": "cp1252",
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"), "http://127.0.0.1:9"),
    }
    environment = {name: value for name, value in without_ours().items() if name.lower() not in ("no_proxy", "xdg_cache_home")}
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen([command, "serve", "--port", str(port)], cwd=folder, env={**environment, **odd}, stderr=log)
        try:
            await_ready(port, process, host="[::1]")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
            process.wait(10)
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8", errors="replace")


def test_other_processors_get_the_same_openvino() -> None:
    extra = only_line("requirements-openvino.txt", "openvino")
    assert only_line("requirements.txt", "openvino").partition(";")[0].strip() == extra


def only_line(file: str, package: str) -> str:
    lines = [line for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if line.startswith(package)]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    "file",
    ["requirements.txt", "requirements-train.txt", "requirements-ray.txt", "requirements-annotators.txt", "requirements-dev.txt"],
)
def test_the_ranges_hold_what_the_tests_run_with(file: str) -> None:
    from packaging.requirements import Requirement

    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate():
            assert importlib.metadata.version(wanted.name) in wanted.specifier, text


def test_a_missing_or_read_only_home_leaves_the_cache_somewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "hypersd-studio"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert not cache_folder().is_relative_to(tmp_path / ".cache")

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert cache_folder().name == "hypersd-studio" and Settings().cache == cache_folder()


def test_a_studio_with_another_model_needs_no_pocket(tmp_path: Path) -> None:
    Settings(assets=tmp_path, default_model="sd15").require_pocket()
    with pytest.raises(ModelUnavailable, match="HYPERSD_ASSETS"):
        Settings(assets=tmp_path).require_pocket()
