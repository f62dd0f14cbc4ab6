"""The layout of the package: folders stay small enough to read at a glance, and names that were given up stay so."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from hypersd_app.settings import ROOT

PACKAGE = ROOT / "hypersd_app"
MOST = 15  # Python files beside the subfolders

# Names of modules that were given up for plainer ones, by where none may stand again, with what stands in their place.
GIVEN_UP = {
    "distill/**/*.py": "training/distillation/train.py",
    "engine/**/frames.py": "server/scheduling/scheduler.py",
    "engine/**/turns.py": "server/scheduling/fair_queue.py",
    "engine/**/pipelines.py": "engine/model_manager.py",
    "engine/**/residency.py": "engine/memory/model_cache.py",
    "engine/**/stamps.py": "engine/loading/fingerprint.py",
    "engine/**/loading.py": "engine/loading/loader.py",
    "engine/**/adapters.py": "engine/loading/lora/reader.py",
    "engine/**/backends.py": "engine/backends/registry.py",
    "engine/**/clock.py": "engine/device_time.py",
    "engine/**/layouts.py": "engine/sampling/layout_cache.py",
    "engine/**/rendering.py": "engine/sampling/generate.py",
    "engine/**/networks.py": "engine/interfaces.py",
    "engine/**/plain_pipelines.py": "engine/diffusers_pipelines.py",
    "engine/**/openvino_steady.py": "engine/backends/openvino/partition.py",
    "catalog/**/rows.py": "catalog/specs.py",
    "catalog/**/guard.py": "catalog/validation.py",
    "catalog/**/headers.py": "catalog/safetensors_header.py",
    "server/**/frames.py": "server/scheduling/scheduler.py",
    "server/**/turns.py": "server/scheduling/fair_queue.py",
    "server/**/backend.py": "server/engines/protocol.py",
    "server/**/engines.py": "server/engines/factory.py",
    "server/**/passing.py": "server/engines/delegate.py",
    "server/**/shared_engine.py": "server/engines/scheduled.py",
    "server/**/patience.py": "server/engines/watchdog.py",
    "server/**/journal.py": "server/observability/request_log.py",
    "server/**/readiness.py": "server/observability/health.py",
    "server/**/http_guard.py": "server/http/middleware.py",
    "server/**/board.py": "server/service.py",
    "models/**/pictures.py": "models/control_image.py",
    "training/**/sticker_pictures.py": "training/pocket/sticker_images.py",
    "training/**/kit.py": "training/distillation/context.py",
    "training/**/terms.py": "training/distillation/losses/__init__.py",
    "training/**/sketches.py": "training/controlnet/layout_stage.py",
    "training/controlnet/drawings.py": "training/controlnet/dataset.py",
    "training/**/bending.py": "training/data/augment.py",
    "training/**/sketch_score.py": "training/controlnet/dmd.py",
    "training/**/shelf.py": "training/critics/registry.py",
    "training/**/previews.py": "training/core/contact_sheet.py",
    "ui/**/previews.py": "ui/progress.py",
    "ui/**/choices.py": "ui/page_config.py",
    "ui/**/known_names.py": "ui/recipe_matching.py",
    "ui/**/tasks.py": "ui/calls/page.py",
    "ui/library.py": "ui/style_uploads.py",
    "ui/**/text_actions.py": "ui/tabs/text_to_image_events.py",
    "ui/static/**/visit.js": "ui/static/core/session.js",
    "ui/static/**/ring.js": "ui/static/board/brush_cursor.js",
    "ui/static/**/films.js": "ui/static/timeline/export.js",
    "ui/static/**/lines.js": "ui/static/board/vectorize.js",
    "ui/static/**/trace.js": "ui/static/board/reference_image.js",
    "ui/static/**/strip.js": "ui/static/styles/style_strip.js",
    "ui/static/**/pictures.js": "ui/static/text/images.js",
}
GIVEN_UP_HELPERS = ("hands", "heaps", "toys", "judged", "fakes")  # of tests; they stand in tests/support under plainer names

# The same for classes, by room.
GIVEN_UP_CLASSES = {
    "server": {"Crowd", "Draft", "Entry", "Crew"},
    "engine": {"StreamedLinear", "Given", "Slot", "Flat"},
    "models": {"Words", "Readers", "Drawer"},
    "training": {"Helpers", "Source", "Subject", "Term", "Side", "Draws", "PictureData"},
    "safety": {"PictureChecker"},
}
GIVEN_UP_MEMBERS = {"MOVED", "STREAMED", "jobs_a_visitor", "sessions_an_address"}


def test_no_folder_of_the_package_holds_more_files_than_one_reads_at_a_glance() -> None:
    counts = Counter(path.parent for path in PACKAGE.rglob("*.py"))
    assert {folder.relative_to(ROOT).as_posix(): count for folder, count in counts.items() if count > MOST} == {}


def test_tests_stand_where_their_code_stands() -> None:
    """Each folder of tests has its namesake in the package, beside helpers and what is seen in a browser."""
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    elsewhere = {folder.as_posix() for folder in folders if not (PACKAGE / folder).is_dir()}
    assert elsewhere == {"browser", "static"}


@pytest.mark.parametrize("place", GIVEN_UP)
def test_no_module_stands_again_where_its_name_was_given_up(place: str) -> None:
    found = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob(place)]
    assert not found, f"that is {GIVEN_UP[place]}"


def test_what_took_their_place_is_there() -> None:
    assert not [now for now in GIVEN_UP.values() if not (PACKAGE / now).exists()]


def test_no_helper_of_tests_has_a_name_that_was_given_up() -> None:
    assert not [path.name for name in GIVEN_UP_HELPERS for path in (ROOT / "tests").rglob(f"{name}.py")]


@pytest.mark.parametrize("room", GIVEN_UP_CLASSES)
def test_no_class_of_a_room_has_a_name_that_was_given_up(room: str) -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (PACKAGE / room).rglob("*.py")]
    names = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    assert not names & GIVEN_UP_CLASSES[room]


def test_no_field_or_member_has_a_name_that_was_given_up() -> None:
    """Earlier settings are still read: their names stand as text, in one table."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")]
    names = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name | ast.keyword)]
    told = {node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else node.arg for node in names}
    assert not told & GIVEN_UP_MEMBERS
