"""The folder that is pushed to a Hugging Face Space: what is in it, what would be refused, and that it starts and draws."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hypersd_app.bench.browser.chromium import free_port
from hypersd_app.settings import from_environment
from tests.support.space_builder import space_builder


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    return space_builder()


@pytest.fixture(scope="module")
def folder(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("space")
    builder.build(made)
    return made


def test_nothing_is_wrong_with_it(builder: ModuleType, folder: Path) -> None:
    assert builder.faults(folder) == []
    assert builder.front_matter(folder)["sdk"] == "gradio"
    assert not list(folder.rglob("__pycache__")) and not (folder / "hypersd_app" / "training").exists()


def test_weights_are_linked_and_what_is_edited_is_not(folder: Path) -> None:
    shared = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_nlink > 1]
    assert all(path.stat().st_size > 2**20 for path in shared)
    copied = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) - sum(path.stat().st_size for path in shared)
    assert copied < 20 * 2**20, "tests leave little on the disk"


def test_versions_are_pinned_and_ones_that_the_project_takes(folder: Path) -> None:
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert all("==" in line for line in lines) and any(line.startswith("spaces==") for line in lines)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda made: (made / "README.md").write_text("# Studio\n", encoding="utf-8"), "lacks"),
        (lambda made: (made / ".gitattributes").write_text("", encoding="utf-8"), "not in LFS"),
        (lambda made: (made / "requirements.txt").write_text("gradio[mcp]==1.0\n", encoding="utf-8"), "sdk_version"),
        (lambda made: (made / "app.py").unlink(), "app_file"),
    ],
    ids=["front matter", "large files", "version", "app file"],
)
def test_what_the_hub_would_refuse_is_found(builder: ModuleType, folder: Path, tmp_path: Path, change, told: str) -> None:
    made = Path(shutil.copytree(folder, tmp_path / "made", copy_function=builder.linked))
    change(made)
    assert any(told in fault for fault in builder.faults(made))


def test_a_space_is_public_and_believes_its_proxy() -> None:
    settings = from_environment({"SPACE_ID": "somebody/studio"})
    assert settings.public and "10.0.0.0/8" in settings.trusted_proxies and settings.spare_cores == 0
    assert from_environment({"SPACE_ID": "a/b", "HYPERSD_TRUSTED_PROXIES": "10.1.2.3"}).trusted_proxies == "10.1.2.3"
    assert not from_environment({}).public
    assert from_environment({"HYPERSD_PRELOAD": "sd15, pocket,sdxl"}).preloaded == ("sd15", "sdxl")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Spaces run Linux, and packages are linked here")
def test_it_starts_with_its_own_requirements_alone_and_draws(builder: ModuleType, folder: Path, tmp_path: Path) -> None:
    requirements = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    python = builder.clean_environment(tmp_path / "environment", requirements)
    assert not list((tmp_path / "environment").rglob("pytest")) and not list((tmp_path / "environment").rglob("cv2"))
    builder.start(folder, free_port(), python)
