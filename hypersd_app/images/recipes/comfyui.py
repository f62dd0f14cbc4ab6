"""ComfyUI's prompt: a graph of nodes. The sampler is looked for, and what flows into it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.recipes.foreign import ForeignRecipe, file_stem, number, whole, words

MOST_NODES = 2000
MOST_SAMPLERS = 8  # whose ways through the graph are followed
ALLOWED = "a ComfyUI image whose prompt has a sampler with a text"
READ = (  # the beginnings of the names of node types that are read here, or change nothing
    "CheckpointLoader", "UNETLoader", "UnetLoader", "LoraLoader", "CLIPTextEncode", "CLIPLoader", "DualCLIPLoader",
    "TripleCLIPLoader", "EmptyLatent", "EmptySD3", "EmptyHunyuan", "VAELoader", "VAEDecode", "CLIPSetLastLayer", "RandomNoise",
    "KSampler", "BasicScheduler", "BasicGuider", "CFGGuider", "FluxGuidance", "SamplerCustom", "Primitive", "Reroute", "Note",
    "SeedNode", "Seed", "String", "Text", "PreviewImage", "SaveImage", "SDXLEmpty", "ConditioningZeroOut",
)  # fmt: skip
Node = Mapping[str, Any]
TEXTS = ("text", "text_g", "text_l", "string", "value", "prompt", "wildcard_text", "populated_text")
MODELS = ("ckpt_name", "unet_name", "base_ckpt_name", "model_name")


class _Graph:
    """Nodes by their number as text, each with `class_type` and `inputs`: values, or [number of a node, output]."""

    def __init__(self, nodes: Mapping[str, Any]) -> None:
        rows = list(nodes.items())[:MOST_NODES]
        self.nodes: dict[str, Node] = {
            key: node["inputs"] for key, node in rows if isinstance(node, Mapping) and isinstance(node.get("inputs"), Mapping)
        }
        self.kinds = {key: words(nodes[key].get("class_type"))[:40] for key in self.nodes}

    def before(self, key: object, *fields: str) -> Iterator[str]:
        """A node and all that flows into it, nearest first; of the first node only through `fields`, if any are given."""
        seen: set[str] = set()
        waiting = deque([str(key)])
        while waiting:
            name = waiting.popleft()
            if name in seen or name not in self.nodes:
                continue
            seen.add(name)
            if not (fields and name == str(key)):
                yield name
            wanted = fields if fields and name == str(key) else tuple(self.nodes[name])
            waiting += [link for field in wanted if (link := _link(self.nodes[name].get(field)))]

    def value(self, start: object, fields: tuple[str, ...], read: Callable[[object], Any], through: tuple[str, ...] = ()) -> Any:
        """The first of `fields` that `read` understands, in a node or before it; None if there is none."""
        for name in ([str(start)] if str(start) in self.nodes else []) + list(self.before(start, *through)):
            for field in fields:
                found = read(self.nodes[name].get(field))
                if found not in (None, ""):
                    return found
        return None


def _link(value: object) -> str:
    """The node that an input comes from, "" for a value."""
    return str(value[0]) if isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int)) else ""


def parse_comfyui(nodes: Mapping[str, Any]) -> ForeignRecipe:
    """The recipe of the sampler that most flows into. Raises InvalidRequest if there is none with a text."""
    graph = _Graph(nodes)
    samplers = [key for key in graph.nodes if "positive" in graph.nodes[key] or "guider" in graph.nodes[key]]
    found = [recipe for key in samplers[:MOST_SAMPLERS] if (recipe := _recipe(graph, key)).prompt]
    if not found:
        raise InvalidRequest("picture", "a ComfyUI image whose graph has no sampler with a text", ALLOWED)
    return max(found, key=lambda recipe: (recipe.steps is not None, len(recipe.prompt)))


def _recipe(graph: _Graph, key: str) -> ForeignRecipe:
    width, height = (graph.value(key, (side,), whole, ("latent_image", "latent", "samples")) for side in ("width", "height"))
    loras, notes = _loras(graph, key)
    return ForeignRecipe(
        program="ComfyUI",
        prompt=_text(graph, key, ("positive", "guider", "conditioning")),
        negative_prompt=_text(graph, key, ("negative",)),
        steps=graph.value(key, ("steps",), whole, ("sigmas",)),
        seed=graph.value(key, ("seed", "noise_seed"), whole, ("noise", "seed", "noise_seed")),
        guidance_scale=graph.value(key, ("cfg",), number, ("guider",)),
        size=(width, height) if width and height else None,
        model=file_stem(graph.value(key, MODELS, words, ("model", "guider")) or ""),
        styles=loras,
        clip_skip=_clip_skip(graph, key),
        sampler=_sampler(graph, key),
        unkept=tuple(_unread_nodes(graph, key)),
        notes=tuple(notes),
    )


def _sampler(graph: _Graph, key: str) -> str:
    name = graph.value(key, ("sampler_name",), words, ("sampler",))
    return " ".join(part for part in (name, graph.value(key, ("scheduler",), words, ("sigmas",))) if part)


def _clip_skip(graph: _Graph, key: str) -> int | None:
    """How many layers before the end a CLIPSetLastLayer on the way of the words stops, 1 being the last."""
    found = graph.value(key, ("stop_at_clip_layer",), whole, ("positive", "guider", "conditioning"))
    return -found if found is not None and found < 0 else None


def _unread_nodes(graph: _Graph, key: str) -> Iterator[tuple[str, str]]:
    """Nodes that act on a sampler, are not among those read here, and what a sampler itself says of its start."""
    start = number(graph.nodes[key].get("denoise"))
    if start is not None and start < 1:
        yield "denoise", f"{start:g}"
    kinds = (graph.kinds[name] for name in graph.before(key))
    yield from ((kind, "") for kind in dict.fromkeys(kinds) if kind and not kind.startswith(READ))


def _text(graph: _Graph, key: str, fields: tuple[str, ...]) -> str:
    """The text that reaches a sampler through some of its inputs."""
    for name in graph.before(key, *fields):
        for field in TEXTS:
            if text := words(graph.nodes[name].get(field)):
                return text
    return ""


def _loras(graph: _Graph, key: str) -> tuple[tuple[tuple[str, float], ...], list[str]]:
    """LoRA files between the checkpoint and a sampler, and notes on weights that differ between UNet and text."""
    rows, notes = [], []
    for name in graph.before(key, "model", "guider"):
        node = graph.nodes[name]
        file, weight = words(node.get("lora_name")), number(node.get("strength_model"))
        if not file or file == "None":
            continue
        rows.append((file_stem(file), 1.0 if weight is None else weight))
        clip = number(node.get("strength_clip"))
        if clip is not None and weight is not None and clip != weight:
            notes.append(f"the style {file_stem(file)} has one weight for words and image, {weight:g}")
    return tuple(rows), notes
