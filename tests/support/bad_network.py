"""A network that fails without saying so: a TCP proxy in front of a studio."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HEAD_BYTES = 65536


class BadNetwork:
    """Passes bytes to `port` of this machine, as long as it is told to; `address` is where visitors go."""

    def __init__(self, port: int, holds_handshakes: bool = False) -> None:
        self._port = port
        self._holds_handshakes = holds_handshakes  # of WebSockets: neither passed on nor refused
        self._silent = False
        self._open: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._door.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        """From now on nothing passes, and no connection is told: a laptop asleep, another network."""
        self._silent = True

    def recover(self) -> None:
        """New connections pass again; the old ones are unknown."""
        self._silent = False
        self.close_all()

    def close(self) -> None:
        """Stop for good."""
        self._door.close()
        self.close_all()

    def close_all(self) -> None:
        """End every connection."""
        old, self._open = self._open, []
        for each in old:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the door was closed
            while True:
                visitor, _ = self._door.accept()
                self._open.append(visitor)
                threading.Thread(target=self._serve, args=(visitor,), daemon=True).start()

    def _serve(self, visitor: socket.socket) -> None:
        with suppress(OSError):
            first = visitor.recv(HEAD_BYTES)
            handshake = b"upgrade: websocket" in first.lower()
            if self._silent or (handshake and self._holds_handshakes):
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            self._open.append(server)
            server.sendall(first)
            threading.Thread(target=self._pass, args=(server, visitor), daemon=True).start()
            self._pass(visitor, server)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(HEAD_BYTES):
                if not self._silent:
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def bad_network(port: int, holds_handshakes: bool = False) -> Iterator[BadNetwork]:
    """A network in front of a port until the block ends."""
    network = BadNetwork(port, holds_handshakes)
    try:
        yield network
    finally:
        network.close()
