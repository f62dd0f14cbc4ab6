"""The recipe guard: a request outside its recipe is refused with what is allowed, never silently changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypersd_app.catalog.specs import ModelSpec, Range, Recipe
from hypersd_app.errors import InvalidRequest

STRENGTH_ROUNDED = 0.005  # people write 0.33 for a third
NO_GUIDANCE = (0.0, 1.0)  # one computation: the conditional prediction alone


def one_of(field: str, value: str, allowed: Iterable[str]) -> None:
    """Raise InvalidRequest unless `value` is a name that exists."""
    names = list(allowed)
    if value not in names:
        raise InvalidRequest(field, value, "one of " + ", ".join(names) if names else "nothing: there is none")


def choose_recipe(model: ModelSpec, name: str, num_inference_steps: int) -> Recipe:
    """The named recipe, or for "" the first that allows so many steps. Raises InvalidRequest."""
    if name:
        one_of("recipe", name, [recipe.name for recipe in model.recipes])
        return next(recipe for recipe in model.recipes if recipe.name == name)
    for recipe in model.recipes:
        if num_inference_steps in recipe.steps:
            return recipe
    steps = sorted({step for recipe in model.recipes for step in recipe.steps})
    raise InvalidRequest("num_inference_steps", num_inference_steps, f"{spoken(steps)} with {model.title}")


def check_steps(recipe: Recipe, num_inference_steps: int) -> None:
    """Raise InvalidRequest unless the recipe was trained for so many steps."""
    if num_inference_steps not in recipe.steps:
        raise InvalidRequest("num_inference_steps", num_inference_steps, f"{spoken(recipe.steps)} with recipe {recipe.name!r}")


def allowed_guidance(recipe: Recipe, value: float | None) -> float:
    """The guidance scale to run with. Raises InvalidRequest outside the recipe's range."""
    if recipe.guidance is None:
        if value is not None and value not in NO_GUIDANCE:
            raise InvalidRequest("guidance_scale", value, f"0: recipe {recipe.name!r} runs without guidance")
        return 0.0
    return _within("guidance_scale", value, recipe.guidance, recipe)


def allowed_eta(recipe: Recipe, value: float | None) -> float:
    """The eta to run with. Raises InvalidRequest outside the recipe's range."""
    if recipe.eta is None:
        if value:
            raise InvalidRequest("eta", value, f"0: recipe {recipe.name!r} is deterministic")
        return 0.0
    return _within("eta", value, recipe.eta, recipe)


def check_negative_prompt(recipe: Recipe, negative_prompt: str, guidance_scale: float) -> None:
    """Raise InvalidRequest for a negative prompt that would have no effect at `guidance_scale`."""
    if not negative_prompt.strip() or recipe.negative_prompt_matters(guidance_scale):
        return
    if not recipe.negative_prompt:
        raise InvalidRequest("negative_prompt", negative_prompt, f"no words: recipe {recipe.name!r} runs without guidance")
    raise InvalidRequest(
        "negative_prompt", negative_prompt, f"no words at guidance_scale {guidance_scale:g}: they act above 1 only"
    )


def allowed_strength(model: ModelSpec, recipe: Recipe, value: float | None) -> float | None:
    """The strength to run with, None without an init image. Raises InvalidRequest for one that the recipe cannot do."""
    if value is None:
        return None
    strengths = recipe.strengths
    if strengths is None:
        return value
    if not strengths:
        raise InvalidRequest("init", "an image", f"none: {model.title} starts from noise alone")
    nearest = min(strengths, key=lambda allowed: abs(allowed - value))
    if abs(nearest - value) > STRENGTH_ROUNDED:
        raise InvalidRequest("strength", value, f"{listed([f'{s:.2g}' for s in strengths])} with recipe {recipe.name!r}")
    return nearest


def check_size(model: ModelSpec, field: str, value: int | None, usual: int) -> int:
    """A width or height the model can draw. Raises InvalidRequest."""
    size = usual if value is None else value
    whole = isinstance(size, int) and not isinstance(size, bool)
    if not whole or not model.smallest <= size <= model.largest or size % model.size_multiple:
        if model.fixed_size:
            raise InvalidRequest(field, value, f"{model.smallest}, the only size of {model.title}")
        multiple = f"a multiple of {model.size_multiple} from {model.smallest} to {model.largest}"
        raise InvalidRequest(field, value, f"{multiple} with {model.title}")
    return size


def _within(field: str, value: float | None, limits: Range, recipe: Recipe) -> float:
    low, usual, high = limits
    if value is None:
        return usual
    if not low <= value <= high:
        raise InvalidRequest(field, value, f"a number from {low:g} to {high:g} with recipe {recipe.name!r}")
    return float(value)


def spoken(steps: Sequence[int]) -> str:
    """ "4 steps", "1 to 8 steps" or "4, 8 or 16 steps"."""
    if len(steps) > 2 and list(steps) == list(range(steps[0], steps[-1] + 1)):
        return f"{steps[0]} to {steps[-1]} steps"
    words = [str(step) for step in steps]
    return listed(words) + (" step" if words == ["1"] else " steps")


def listed(words: Sequence[str]) -> str:
    """ "1", "1 or 2", "1, 2 or 3"."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
