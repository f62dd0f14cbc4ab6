"""Icon packages as npm would unpack them, small and made here."""

import json

from hypersd_app.training.data.icons.sources import ICON_SETS, NAMES_PACKAGE

SUBGROUPS = {"1": "animal-mammal", "2": "food-fruit", "3": "clothing", "4": "face-smiling"}
ROWS = [
    {"hexcode": "1F431", "label": "cat face", "group": 3, "subgroup": 1, "tags": ["cat", "kitten", "pet"]},
    {"hexcode": "1F34E", "label": "red apple", "group": 4, "subgroup": 2, "tags": ["fruit"]},
    {"hexcode": "1F451", "label": "crown", "group": 7, "subgroup": 3, "tags": ["king"]},
    {"hexcode": "1F600", "label": "grinning face", "group": 0, "subgroup": 4, "tags": ["happy"]},
    {"hexcode": "1F466-X", "label": "man cook", "group": 1, "subgroup": 1, "tags": []},
    {"hexcode": "X", "label": "flag", "group": 9, "subgroup": 1, "tags": []},
]
BODIES = {
    "cat-face": '<circle cx="50" cy="50" r="40" fill="#ffb000"/><circle cx="35" cy="45" r="5" fill="#222"/>',
    "red-apple": '<defs><linearGradient id="g"><stop stop-color="#e02020"/></linearGradient></defs>'
    '<rect width="100" height="90" fill="url(#g)"/>',
    "crown": '<path d="M10 80 L10 20 L50 60 L90 20 L90 80 Z" fill="#f0c000"/>',
    "grinning-face": '<circle cx="50" cy="50" r="45" fill="#ffd030"/>',
}


def write_package(folder, package):
    """An unpacked package folder with our icons or names in it."""
    target = folder / package.replace("/", "__").lstrip("@") / "package"
    target.mkdir(parents=True)
    (target / "package.json").write_text("{}", encoding="utf-8")
    if package == NAMES_PACKAGE[0]:
        (target / "en").mkdir()
        (target / "meta").mkdir()
        (target / "en" / "data.json").write_text(json.dumps([{**row, "order": i} for i, row in enumerate(ROWS)]), encoding="utf-8")
        (target / "meta" / "groups.json").write_text(json.dumps({"subgroups": SUBGROUPS}), encoding="utf-8")
    else:
        (target / "icons.json").write_text(
            json.dumps({"width": 100, "height": 100, "icons": {k: {"body": v} for k, v in BODIES.items()}}), encoding="utf-8"
        )
    return target


def write_icons(folder, package, bodies):
    """An unpacked icon package with these SVG bodies by name."""
    target = folder / package.replace("/", "__").lstrip("@") / "package"
    target.mkdir(parents=True)
    (target / "package.json").write_text("{}", encoding="utf-8")
    (target / "icons.json").write_text(
        json.dumps({"width": 100, "height": 100, "icons": {name: {"body": body} for name, body in bodies.items()}}),
        encoding="utf-8",
    )
    return target


def write_all(folder):
    """Everything the tiny preset asks for."""
    for package in (*(ICON_SETS[key].package for key in ("noto", "twemoji")), NAMES_PACKAGE[0]):
        write_package(folder, package)
