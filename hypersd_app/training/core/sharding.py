"""A frozen network spread over the processes of a run by FSDP2: each holds its part and gathers a block when it runs it."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from hypersd_app.training.core.distributed import Processes


def shard_frozen(network: nn.Module, processes: Processes) -> None:
    """Makes the frozen parameters DTensors of which each process holds its part; trained ones, as adapters are, stay whole.

    Each child is a unit of its own, so that parts of the network can be run alone. From here on a pass of the network is
    work of all processes together. Call it last of all that changes the frozen weights.
    """
    mesh = init_device_mesh(processes.device.type, (processes.num_processes,))
    trained = {parameter for parameter in network.parameters() if parameter.requires_grad}
    for unit in _units(network):
        fully_shard(unit, mesh=mesh, reshard_after_forward=True, ignored_params=trained)


def _units(network: nn.Module) -> Iterator[nn.Module]:
    """Children that have weights and are called; of a list, its members."""
    for child in network.children():
        if isinstance(child, nn.ModuleList):
            yield from _units(child)
        elif any(True for _ in child.parameters()):
            yield child
