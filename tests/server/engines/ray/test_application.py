"""The files that deploy replicas: what they name exists, and the studio's settings take it."""

from __future__ import annotations

import importlib.util
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from hypersd_app.settings import ROOT, Settings, from_environment

DEPLOY = ROOT / "deploy"


def manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "rayservice.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(params=["serve.yaml", "rayservice.yaml"])
def application(request: pytest.FixtureRequest) -> dict[str, Any]:
    text = (DEPLOY / request.param).read_text(encoding="utf-8")
    if request.param == "rayservice.yaml":
        text = manifest()["spec"]["serveConfigV2"]
    (row,) = yaml.safe_load(text)["applications"]
    return dict(row)


def test_the_application_is_what_serve_imports(application: dict[str, Any]) -> None:
    module, _, name = application["import_path"].partition(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    assert f"def {name}(" in Path(spec.origin).read_text(encoding="utf-8")
    settings = from_environment({}, **application["args"])
    assert settings.replicas_at_most >= settings.replicas > 0


def test_serve_takes_the_file(application: dict[str, Any]) -> None:
    schema = pytest.importorskip("ray.serve.schema")
    schema.ServeDeploySchema.model_validate({"proxy_location": "Disabled", "applications": [application]})


def test_the_page_joins_what_is_deployed() -> None:
    head = manifest()["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    page = next(row for row in head["containers"] if row["name"] == "page")
    named = {row["name"]: row["value"] for row in page["env"]}
    assert {name.removeprefix("HYPERSD_").lower() for name in named} <= {item.name for item in fields(Settings)}
    settings = from_environment(named)
    (row,) = yaml.safe_load(manifest()["spec"]["serveConfigV2"])["applications"]
    assert settings.ray_application == row["name"] and settings.most_replicas == row["args"]["most_replicas"]
    assert settings.drain_seconds < head["terminationGracePeriodSeconds"]
