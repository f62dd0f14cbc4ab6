"""Settings of a run, read once from the environment (HYPERSD_*) and the command line."""

from __future__ import annotations

import ipaddress
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hypersd_app.errors import InvalidRequest, ModelUnavailable

ROOT = Path(__file__).resolve().parent.parent  # the checkout, or site-packages
BACKENDS = ("auto", "torch", "openvino")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
SAFETY = ("auto", "on", "off")
CHOICES = {"backend": BACKENDS, "device": DEVICES, "precision": PRECISIONS, "safety": SAFETY}
PROXY_PATH = re.compile(r"(?=.{0,200}$)(?!.*\.\.)(?:/[A-Za-z0-9_~.-]+)*/?")  # below which a reverse proxy offers the studio
# On a Hugging Face Space: visitors come through its proxy, which has a private address, and none draws on this machine.
SPACE = {
    "host": "0.0.0.0",
    "trusted_proxies": "127.0.0.1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16",
    "spare_cores": 0,
    "visitor_styles": True,
}
LARGEST_COUNT = 1024  # of cores, replicas
SMALLEST_COUNTS = {"threads": 0, "spare_cores": -1, "replicas": 0, "most_replicas": 0, "replica_cores": 1}


def working_folder() -> Path:
    """Where assets, models, styles and runs are looked for: the checkout; installed from a wheel, the current folder."""
    return ROOT if (ROOT / "pyproject.toml").exists() else Path.cwd()


def cache_folder() -> Path:
    """`hypersd-studio` in the user's cache folder, or in the temporary one where there is no home or it is read-only."""
    try:
        parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no home
        parent = Path(tempfile.gettempdir())
    existing = next(folder for folder in (parent, *parent.parents) if folder.exists())
    return (parent if os.access(existing, os.W_OK) else Path(tempfile.gettempdir())) / "hypersd-studio"


def _in_working_folder(name: str) -> Path:
    return working_folder() / name


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where things are and how the server listens. Every field can be set as HYPERSD_<FIELD>."""

    host: str = "127.0.0.1"
    port: int = 7860
    root_path: str = ""  # path below which a reverse proxy offers the studio, "/studio"; or it sends X-Forwarded-Prefix
    share: bool = False
    default_model: str = "pocket"
    preload: str = ""  # models that are loaded after the default one, while visitors draw with that; names with commas
    language: str = "en"  # of the page; what there is: hypersd_app/ui/i18n/texts.py
    backend: str = "auto"  # one of BACKENDS
    device: str = "auto"  # one of DEVICES
    precision: str = "auto"  # of the networks, one of PRECISIONS
    compile: bool = False  # UNets by torch.compile: minutes at the first image of each size, a GPU that serves for long gains
    assets: Path = field(default_factory=partial(_in_working_folder, "assets"))  # Pocket's weights lie in its folder `pocket`
    runs: Path = field(default_factory=partial(_in_working_folder, "runs"))  # what training leaves
    cache: Path = field(default_factory=cache_folder)
    models: Path = field(
        default_factory=partial(_in_working_folder, "models")
    )  # folders and .safetensors checkpoints of the user's own
    styles: Path = field(default_factory=partial(_in_working_folder, "styles"))  # LoRA files of the user's own
    memory_gb: float = 0.0  # budget for resident models; 0 takes three quarters of what is free
    offline: bool = False  # never ask the Hub
    hashing: bool = True  # read every model file once in the background, so that recipes find it by its hash
    revisions: str = ""  # of Hub repositories, "owner/name=sha owner/name=sha"; others are at their main branch
    safety: str = "auto"  # auto: on when others than this machine's users can reach the studio; on; off
    blocked_words: str = ""  # a text file, a word or phrase a line, added to the block list
    trusted_proxies: str = "127.0.0.1"  # addresses or networks whose X-Forwarded-For is believed, with commas; * for all
    allowed_hosts: str = ""  # at which the studio is reached besides this machine's own, with commas; * for any
    limits: str = ""  # what one visitor and all may ask, "sessions=100 frames_per_second=15"; names in server/scheduling/limits.py
    log_prompts: bool = False  # write prompts into the request log
    worker: bool = True  # draw in a process of its own, which is started again when it dies or hangs
    hang_seconds: float = 120.0  # without a sign of life from a batch before the drawing process is killed
    visitor_styles: bool = False  # visitors of a public studio may bring LoRA files, which serve them alone for a while
    drain_seconds: float = 3.0  # for what is being drawn when the studio is told to stop
    threads: int = 0  # of the processor that draw; 0 takes one a core
    spare_cores: int = -1  # that small models leave to a browser here; -1: one, if nobody else can reach the studio
    replicas: int = 0  # of the engine on Ray Serve, at least; 0 draws without Ray
    most_replicas: int = 0  # up to which more are added while all are busy; 0 adds none
    replica_cores: int = 1  # of each replica
    replica_gpus: float = 0.0  # share of a card for each replica, 0.25 puts four on one; 0 divides the cards evenly
    ray_application: str = ""  # that runs on the cluster already, by `serve deploy`; "" starts one of its own
    ray_address: str = ""  # of a Ray cluster that runs already; "" starts one on this machine

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InvalidRequest("port", self.port, "a number from 0 to 65535")
        if not PROXY_PATH.fullmatch(self.root_path):
            raise InvalidRequest("root_path", self.root_path, "a path such as /studio, of letters, digits and _ ~ . -")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InvalidRequest(name, getattr(self, name), f"{', '.join(choices[:-1])} or {choices[-1]}")
        if not 0 <= self.replica_gpus <= 16:
            raise InvalidRequest("replica_gpus", self.replica_gpus, "a number from 0 to 16, 0.5 for two replicas on a card")
        if not 0 <= self.drain_seconds <= 3600:
            raise InvalidRequest("drain_seconds", self.drain_seconds, "a number of seconds from 0 to 3600")
        if not self.hang_seconds > 0:
            raise InvalidRequest("hang_seconds", self.hang_seconds, "a number of seconds above 0")
        for name, smallest in SMALLEST_COUNTS.items():
            if not smallest <= getattr(self, name) <= LARGEST_COUNT:
                raise InvalidRequest(name, getattr(self, name), f"a whole number from {smallest} to {LARGEST_COUNT}")

    @property
    def preloaded(self) -> tuple[str, ...]:
        """The models that `preload` names."""
        return tuple(name for name in (part.strip() for part in self.preload.split(",")) if name and name != self.default_model)

    @property
    def replicas_at_most(self) -> int:
        """Replicas when all are busy."""
        return max(self.replicas, self.most_replicas)

    @property
    def environment(self) -> dict[str, str]:
        """The variables from which another process has the same settings, but for its address."""
        values = {
            item.name: getattr(self, item.name) for item in fields(self) if item.name not in ("host", "port", "root_path", "share")
        }
        return {f"HYPERSD_{name.upper()}": str(int(value) if isinstance(value, bool) else value) for name, value in values.items()}

    def for_visitors(self) -> Settings:
        """With all cores for visitors from elsewhere, and one of them left to the browser of who draws on this machine."""
        return self if self.spare_cores >= 0 else replace(self, spare_cores=0 if self.public else 1)

    def require_pocket(self) -> None:
        """Raises ModelUnavailable if Pocket is what the studio opens with and its weights are not there."""
        if self.default_model == "pocket" and not (self.assets / "pocket" / "unet").is_dir():
            raise ModelUnavailable(
                f"Pocket's weights are not in {self.assets / 'pocket'}. Start in a checkout of the project, set HYPERSD_ASSETS to "
                "the assets folder of one, or open with another model (HYPERSD_DEFAULT_MODEL)."
            )

    @property
    def public(self) -> bool:
        """Whether others than this machine's own users can reach the studio."""
        if self.share or self.host == "":
            return True
        if self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return True  # a name: whatever it resolves to, assume that others know it too


def from_environment(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Defaults, then HYPERSD_* variables, then `overrides` that are not None. Raises InvalidRequest."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = dict(SPACE) if environment.get("SPACE_ID") else {}
    if "GRADIO_SERVER_NAME" in environment:
        values["host"] = environment["GRADIO_SERVER_NAME"]  # how Spaces says where to listen
    if "GRADIO_ROOT_PATH" in environment:
        values["root_path"] = urlsplit(environment["GRADIO_ROOT_PATH"]).path
    defaults = Settings()
    for item in fields(Settings):
        text = environment.get(f"HYPERSD_{item.name.upper()}")
        if text is not None:
            values[item.name] = _parse(item.name, text, type(getattr(defaults, item.name)))
    values.update({name: value for name, value in overrides.items() if value is not None})
    return replace(defaults, **values)


def _parse(name: str, text: str, kind: type[Any]) -> Any:
    if kind is bool:
        if text.lower() not in ("0", "1", "false", "true", "no", "yes"):
            raise InvalidRequest(f"HYPERSD_{name.upper()}", text, "1 or 0")
        return text.lower() in ("1", "true", "yes")
    if issubclass(kind, Path):
        return Path(text).expanduser()
    try:
        return kind(text)
    except ValueError:
        raise InvalidRequest(f"HYPERSD_{name.upper()}", text, f"a value of type {kind.__name__}") from None
