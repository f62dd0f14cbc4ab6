"""A request whose image file tells of all that it was drawn with."""

from hypersd_app.requests import GenerationRequest, StyleWeight

REQUEST = GenerationRequest(
    "a red apple, on a table",
    "blurry, grey",
    model="pocket",
    recipe="unified",
    num_inference_steps=4,
    eta=0.5,
    seed=123,
    styles=(StyleWeight("ink", 0.8),),
)
