"""`python -m tests.support.simulated_space FOLDER`: the studio on a simulated ZeroGPU; prints what happened as JSON.

The package `spaces` is the real one. Its API is a stub server. There is no card: in the lent process CUDA stays what it is in
the parent, emulated by `spaces` on the processor, and the weights that `spaces` put on disk are given back from memory.
"""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit


def visitor_token(name: str) -> str:
    """A token as the proxy of a Space sends it."""
    return f"h.{base64.urlsafe_b64encode(json.dumps({'name': name}).encode()).decode().rstrip('=')}.s"


RICH, OTHER, POOR, GRID = (visitor_token(name) for name in ("rich", "other", "poor", "grid"))


class LendingApi(BaseHTTPRequestHandler):
    """The API that `spaces` asks for GPUs; `POOR` has no quota left."""

    asked: list[dict[str, str]] = []  # noqa: RUF012 - of the one server of this process

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        values = dict(parse_qsl(parts.query))
        self.asked.append({"path": parts.path, **values})
        if parts.path == "/schedule" and values.get("token") == POOR:
            self.answer(429, {"left": 3, "wait": 600})
        elif parts.path == "/schedule":
            self.answer(200, {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": str(len(self.asked))})
        else:
            self.answer(200, {})

    def answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


def on_zero_gpu(folder: Path) -> None:
    """The environment of a ZeroGPU Space, its API at a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), LendingApi)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (folder / "cgroup").write_text("0::/test\n", encoding="utf-8")
    os.environ.update(
        SPACES_ZERO_GPU="true",
        SPACES_ZERO_DEVICE_API_URL=f"http://127.0.0.1:{server.server_port}",
        ZEROGPU_OFFLOAD_DIR=str(folder / "tensors"),
        ZEROGPU_PROC_SELF_CGROUP_PATH=str(folder / "cgroup"),
        HOME=str(folder),
    )


def without_a_card() -> None:
    """Let the lent process go on emulating, where it would open a card."""
    from spaces.zero import torch as zero
    from spaces.zero import wrappers
    from spaces.zero.torch import patching

    kept: list[tuple[Any, Any]] = []
    pack = zero.pack

    def remembering() -> int:
        kept.extend((fake, original) for fake, original in patching.cuda_aliases.items() if original is not None)
        return int(pack())

    def give_back(callback: object = None) -> None:
        for fake, original in kept:
            patching.cuda_aliases[fake] = original

    class Emulating(ThreadPoolExecutor):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, initializer=patching.enter_mode, **options)

    zero.pack, zero.move, zero.unpatch, zero.init = remembering, give_back, lambda: None, lambda _card: None
    wrappers.ThreadPoolExecutor = Emulating


def run(folder: Path) -> dict[str, Any]:
    """Start, draw as several visitors and without one, and tell."""
    on_zero_gpu(folder)
    from hypersd_app.engine.memory.zero_gpu import require_spaces

    require_spaces()
    without_a_card()
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    from hypersd_app.bench.browser.chromium import free_port
    from hypersd_app.requests import GenerationRequest
    from hypersd_app.server.engines.factory import open_engine
    from hypersd_app.settings import Settings
    from hypersd_app.ui.app import build_studio, usual_transport
    from tests.support import tiny_models

    tiny_models.write_pocket(folder / "assets" / "pocket")
    port = free_port()
    settings = Settings(
        port=port, assets=folder / "assets", runs=folder, models=folder, styles=folder, cache=folder, offline=True, compile=True
    )
    engine = open_engine(settings)
    status = dict(engine.status())
    studio = build_studio(engine, settings)
    studio.launch(prevent_thread_lock=True)
    reported = [row["path"] for row in LendingApi.asked]

    def draw(token: str) -> str:
        client = Client(f"http://127.0.0.1:{port}/", headers={"x-ip-token": token}, verbose=False)
        try:
            return str(len(client.predict("a red apple", 1, 3, 1, api_name="/text_to_image")))
        except AppError as error:
            return str(error)

    def compare(token: str) -> Any:
        client = Client(f"http://127.0.0.1:{port}/", headers={"x-ip-token": token}, verbose=False)
        try:
            return client.predict("a red apple", "steps", "1 | 2 | 4", "seed", "3 | 4", api_name="/compare")[1]["pictures"]
        except AppError as error:
            return str(error)

    with ThreadPoolExecutor(3) as pool:
        compared = [len(compare(GRID)), compare(POOR)]
        drawn = list(pool.map(draw, (RICH, POOR, OTHER)))
        slower = GenerationRequest("a cat", recipe="teacher", num_inference_steps=8)
        other_thread = pool.submit(engine.generate, slower).result()  # another UNet, loaded by another thread
    main_thread = engine.generate(GenerationRequest("a cat"))
    told = {
        "status": {name: status[name] for name in ("device", "precision", "lent")},
        "compiled": engine.hardware.compile,  # type: ignore[attr-defined]
        "resident": len(status["resident"]),
        "transport": usual_transport(),
        "at_launch": reported,
        "drawn": drawn,
        "images": [len(main_thread.pixels), len(other_thread.pixels)],
        "compared": compared,
        "schedules": [row for row in LendingApi.asked if row["path"] == "/schedule"],
        "released": sum(row["path"] == "/release" and row.get("fail") != "true" for row in LendingApi.asked),
    }
    studio.close()
    return told


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(run(Path(sys.argv[1]))) + "\n")
    sys.stdout.flush()
    for lent in multiprocessing.active_children():
        lent.kill()
    os._exit(0)  # threads of `spaces` wait for those
