"""Control images from photographs: what a control kind of a model reads in one."""

from __future__ import annotations

from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.ui.recipe_matching import model_of


def control_image(engine: ImageEngine, model: str, kind: object, photograph: Image.Image) -> Image.Image:
    """The control image of `kind` in the model's size, RGB. Raises InvalidRequest for a kind that the model does not have."""
    row = model_of(engine, model)
    kinds = {spec.kind: spec for spec in row.controls}
    if kind not in kinds:
        raise InvalidRequest("control", kind, ", ".join(kinds) or f"nothing: {row.title} follows no control images")
    return Image.fromarray(engine.annotate(kinds[str(kind)].annotator, photograph, (row.width, row.height)))
