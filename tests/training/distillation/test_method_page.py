"""Every function that docs/method.md names is there."""

import importlib
import re

from hypersd_app.settings import ROOT


def test_the_functions_that_the_method_page_names_exist():
    found = re.findall(r"`([\w/]+)\.py:([\w.]+)`", (ROOT / "docs" / "method.md").read_text(encoding="utf-8"))
    assert len(found) > 20
    for path, name in found:
        value = importlib.import_module("hypersd_app." + path.replace("/", "."))
        for part in name.split("."):
            value = getattr(value, part)
        assert callable(value) and value.__module__.endswith(path.replace("/", ".")), f"{path}:{name}"
