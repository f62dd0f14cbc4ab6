"""The backend of each placement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypersd_app.engine.backends.base import Backend
from hypersd_app.engine.backends.torch_backend import TorchBackend
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.engine.memory.placement import Placement


class Backends:
    """The backend of each placement, made when it is first needed; OpenVINO is imported only where it is used."""

    def __init__(self, hardware: Hardware, cache: Path) -> None:
        self._hardware = hardware
        self._cache = cache
        self._made: dict[Placement, Backend] = {}

    def of(self, placement: Placement) -> Backend:
        """The backend that runs `placement`."""
        if placement not in self._made:
            self._made.setdefault(placement, self._new(placement))
        return self._made[placement]

    def _new(self, placement: Placement) -> Backend:
        spare = self._hardware.spare_cores if placement.small else 0
        hardware = replace(self._hardware, backend=placement.backend, spare_cores=spare)
        if placement.backend == "openvino":
            from hypersd_app.engine.backends.openvino.backend import OpenVinoBackend

            return OpenVinoBackend(hardware, self._cache / "openvino")
        return TorchBackend(hardware, placement.tier)
