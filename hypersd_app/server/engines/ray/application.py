"""The replicas as an application for `serve deploy` and KubeRay: `hypersd_app.server.engines.ray.application:application`.

The page joins them with HYPERSD_RAY_ADDRESS and HYPERSD_RAY_APPLICATION; see deploy/rayservice.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypersd_app.server.engines.factory import build_engine
from hypersd_app.server.engines.ray.start import bound
from hypersd_app.settings import from_environment


def application(args: Mapping[str, Any]) -> Any:
    """A Serve application. `args` are fields of Settings; others come from the environment. Raises HyperSDError."""
    values = {"replicas": 1, "ray_address": "auto", **args}
    return bound(from_environment(**values), build_engine)
