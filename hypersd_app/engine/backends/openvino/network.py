"""One converted network: written to disk once, compiled once for each batch of static shapes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import warnings
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from cachetools import Cache, LRUCache
from numpy.typing import NDArray
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from hypersd_app.engine.backends.openvino.disk_cache import prune, touch
from hypersd_app.engine.backends.openvino.graphs import PositionalWrapper
from hypersd_app.engine.backends.openvino.partition import Arrays, SteadyPart, cut

logger = logging.getLogger(__name__)

Shapes = tuple[tuple[int, ...], ...]
MAX_COMPILED = 4  # shapes of one network kept at a time; each holds its own packed weights
FORM = 5  # of the graphs on disk; another number when what they take or give changes
MOST_ON_DISK = 32_000_000_000  # bytes of converted and compiled networks: SDXL in full takes ten, with a ControlNet fifteen
BATCH = 4  # images that run at once where a network is small enough to be compiled for them too


@dataclass(frozen=True)
class Steady:
    """Inputs that mostly stay the same from image to image.

    `inputs[1:until]` are the same for every row whose entry in `keys` is; `fixed`, which follow all inputs, whenever `version` is.
    """

    until: int = 1
    keys: Sequence[Hashable] = ()
    fixed: Arrays = ()
    version: Hashable = None


class Compiled:
    """A graph for one set of shapes: in one piece, or cut in two."""

    def __init__(self, request: ov.InferRequest, first: SteadyPart | None = None) -> None:
        self._request = request
        self.first = first
        self._bound: dict[str, tuple[Hashable, list[ov.Tensor]]] = {}  # what the request only refers to, by kind, with its key

    def __call__(self, inputs: Arrays, steady: Steady, key: Hashable) -> list[NDArray[Any]]:
        """Outputs, valid until the next call. `key` is of the only row; a graph in one piece needs none."""
        given = inputs if self.first is None else [inputs[0], *inputs[steady.until :]]
        self._bind("fixed", steady.version, len(given), lambda: [ov.Tensor(np.ascontiguousarray(array)) for array in steady.fixed])
        if self.first is not None:
            known, start = self.first, len(given) + len(steady.fixed)
            self._bind("steady", key, start, lambda: known(key, inputs[1 : steady.until]))
        values = {i: np.ascontiguousarray(array) for i, array in enumerate(given)}
        found = self._request.infer(values, share_inputs=True, share_outputs=True)
        return [found[i] for i in range(len(found))]

    def _bind(self, kind: str, key: Hashable, start: int, tensors: Callable[[], list[ov.Tensor]]) -> None:
        if kind in self._bound and self._bound[kind][0] == key:
            return
        self._bound.pop(kind, None)
        bound = tensors()
        for i, tensor in enumerate(bound, start):
            self._request.set_input_tensor(i, tensor)
        self._bound[kind] = (key, bound)


class CompiledNetwork:
    """Runs one graph. `build` makes it anew for a conversion."""

    def __init__(self, core: ov.Core, path: Path, properties: dict[str, Any], build: Callable[[], nn.Module], named: int) -> None:
        self._core = core
        self._path = path
        self._properties = properties
        self._build = build
        self._named = named
        self._requests: LRUCache[Shapes, Compiled] = LRUCache(MAX_COMPILED)
        self._weights: object = None  # kept alive for a graph that could not be written to disk
        self.compilations = 0
        self._lock = threading.Lock()
        self._batches: dict[Shapes, threading.Thread] = {}
        self._unfit: set[Shapes] = set()  # batches that OpenVINO could not compile

    @property
    def kept(self) -> int:
        """Bytes of what was computed for words that may come again."""
        with self._lock:  # by the base class: being counted is no use
            held = [Cache.__getitem__(self._requests, shapes) for shapes in self._requests]
        return sum(compiled.first.bytes for compiled in held if compiled.first is not None)

    @property
    def extra(self) -> int:
        """How many times its weights are in memory beyond the first."""
        return max(0, len(self._requests) - 1)

    def batched(self, count: int, inputs: Callable[[slice], Arrays], *, wide: bool, steady: Steady = Steady()) -> list[Tensor]:
        """Each output for `count` images; `inputs` gives those of some rows.

        They run one by one; `wide` networks by the `BATCH` as soon as that is compiled, which happens beside the drawing.
        """
        pieces, start = [], 0
        while start < count:
            size = BATCH if wide and count - start >= BATCH and self._ready(inputs(slice(start, start + BATCH)), steady) else 1
            found = self(inputs(slice(start, start + size)), steady, start)
            # The next call overwrites what this one gave.
            pieces.append([torch.from_numpy(output if size == count else output.copy()) for output in found])
            start += size
        return pieces[0] if len(pieces) == 1 else [torch.cat(rows) for rows in zip(*pieces, strict=True)]

    def _ready(self, inputs: Arrays, steady: Steady) -> bool:
        """Whether the network is compiled for such inputs; if not, a thread begins to, once it runs for one image."""
        if not self._requests:
            return False
        shapes = tuple(array.shape for array in (*inputs, *steady.fixed))
        if shapes in self._requests:
            return True
        running = self._batches.get(shapes)
        if shapes not in self._unfit and (running is None or not running.is_alive()):
            thread = threading.Thread(target=self._compile_beside, args=(shapes, list(inputs), steady), name="compile-batch")
            self._batches[shapes] = thread
            thread.start()
        return False

    def _compile_beside(self, shapes: Shapes, inputs: Arrays, steady: Steady) -> None:
        try:
            self._compile(shapes, inputs, steady)
        except RuntimeError as error:
            self._unfit.add(shapes)
            logger.warning("%s stays at one image at a time: %s", self._path.stem, str(error).splitlines()[0])

    def settle(self) -> None:
        """Wait until nothing is being compiled beside the drawing."""
        for thread in list(self._batches.values()):
            thread.join()

    def __call__(self, inputs: Arrays, steady: Steady = Steady(), row: int = 0) -> list[NDArray[Any]]:
        """Outputs for the rows from `row` on, valid until the next call."""
        shapes = tuple(array.shape for array in (*inputs, *steady.fixed))
        if shapes not in self._requests:
            self._compile(shapes, inputs, steady)
        with self._lock:
            compiled = self._requests[shapes]
        return compiled(inputs, steady, steady.keys[row] if steady.keys else None)

    def _compile(self, shapes: Shapes, inputs: Arrays, steady: Steady) -> None:
        model = self._model([*inputs, *steady.fixed])
        model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes, strict=True)})
        logger.info("compiling %s for batch %d", self._path.stem, shapes[0][0])
        # Images that run together are seldom of the same words again.
        parts = cut(model, range(1, steady.until)) if steady.until > 1 and shapes[0][0] == 1 else None
        models = [self._core.compile_model(part, "CPU", self._properties) for part in parts or (model,)]
        prune(self._path.parent, MOST_ON_DISK)  # compiling leaves a file for every shape, converting one a network
        compiled = Compiled(models[-1].create_infer_request(), SteadyPart(models[0]) if parts else None)
        with self._lock:
            self.compilations += 1
            self._requests[shapes] = compiled

    def _model(self, examples: Arrays) -> ov.Model:
        """The converted graph, from disk if it has been converted before and can still be read."""
        if self._path.exists():
            try:
                touch((self._path, self._path.with_suffix(".bin")))
                return self._core.read_model(self._path)
            except RuntimeError as error:
                logger.warning("%s is damaged and will be made again: %s", self._path.name, str(error).splitlines()[0])
                self._remove(self._path)
        return self._kept(*self._convert(examples))

    def _kept(self, model: ov.Model, weights: object) -> ov.Model:
        """The graph as written to disk and read again; as it is, on the `weights` it refers to, if the disk is full."""
        # Written beside and renamed: a process that is killed here leaves no half file under the true name.
        half = self._path.with_name(f"{self._path.stem}-{os.getpid()}-{threading.get_ident()}.tmp.xml")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            ov.save_model(model, half, compress_to_fp16=self._properties["INFERENCE_PRECISION_HINT"] != "f32")
            written = self._core.read_model(half)  # a full disk may cut a file short without a word
            os.replace(half.with_suffix(".bin"), self._path.with_suffix(".bin"))
            os.replace(half, self._path)
        except (OSError, RuntimeError) as error:
            logger.warning("%s could not be kept: %s", self._path.name, str(error).splitlines()[0])
            self._remove(half)
            self._weights = weights
            return model
        return written

    @staticmethod
    def _remove(path: Path) -> None:
        for file in (path, path.with_suffix(".bin")):
            with suppress(OSError):
                file.unlink(missing_ok=True)

    def _convert(self, examples: Arrays) -> tuple[ov.Model, object]:
        """The graph, and what must live as long as it does."""
        logger.info("converting %s for OpenVINO (once)", self._path.stem)
        graph = PositionalWrapper(self._build().eval(), self._named)
        tensors = tuple(torch.from_numpy(np.array(array)) for array in examples)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing warns of every shape it takes as fixed, and fixed they are
            traced = torch.jit.trace(graph, tensors, check_trace=False, strict=False)
            # The frontend itself: ov.convert_model reports every conversion to its makers.
            frontend = FrontEndManager().load_by_framework("pytorch")
            decoder = TorchScriptPythonDecoder(traced, example_input=tensors)  # named: the frontend doesn't keep it alive
            return frontend.convert(frontend.load(decoder)), (traced, decoder)


def weights_hash(module: nn.Module) -> str:
    """Hexadecimal digest of all weights and their names, fused LoRAs included, and of the configuration.

    A scaling factor or a number of heads is in no weight, but in the converted graph.
    """
    digest = hashlib.blake2b(digest_size=12)
    config = {name: value for name, value in getattr(module, "config", {}).items() if not name.startswith("_")}
    digest.update(f"{ov.__version__} {FORM} {json.dumps(config, sort_keys=True, default=str)}".encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data if tensor.ndim else b"")
    return digest.hexdigest()


def array(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor's values as float32, without a copy where none is needed."""
    return tensor.detach().to(torch.float32).numpy()
