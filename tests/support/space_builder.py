"""space/build.py, which is no part of the package."""

import importlib.util
from types import ModuleType

from hypersd_app.settings import ROOT


def space_builder() -> ModuleType:
    """The module, loaded from its file."""
    spec = importlib.util.spec_from_file_location("build_space", ROOT / "space" / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
