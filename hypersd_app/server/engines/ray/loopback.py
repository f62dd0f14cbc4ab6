"""Keeping a replica's ports to this machine."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)


def keep_to_loopback() -> None:
    """Bind what Ray Serve is about to open in this process to loopback.

    Each replica opens a port to every network, for calls between deployments: whoever reaches it may send a pickle, which
    is to run code here. Nobody calls it in this application, and Ray has no setting for it.
    """
    from ray.serve._private import replica

    bind = getattr(replica, "add_port_to_grpc_server", None)
    if bind is None:
        logger.warning("this version of Ray Serve binds its replicas' ports elsewhere: close them to other machines")
        return

    def bound(server: Any, address: str) -> int:
        port: int = bind(server, address.replace("[::]", "127.0.0.1"))
        return port

    replica.add_port_to_grpc_server = bound
