"""Where the server listens: faults are told before a model is loaded; the process reaches itself without `http_proxy`."""

from __future__ import annotations

import errno
import os
import socket

from hypersd_app.errors import CannotListen

NO_PROXY = ("no_proxy", "NO_PROXY")  # programs read one or the other
OWN = ("localhost", "127.0.0.1", "::1")
IN_USE = "is in use by another program; stop it, or choose another with --port or HYPERSD_PORT"
NOT_OURS = "is no address of this machine; 127.0.0.1 serves this machine alone, 0.0.0.0 or :: everybody who can reach it"


def require_free(host: str, port: int) -> None:
    """Raises CannotListen if the server could not listen there."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with socket.socket(family, kind, protocol) as listener:
            if os.name == "posix":  # elsewhere it would let two programs listen at once
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()  # on Linux two sockets may be bound, and only one listens
    except socket.gaierror:
        raise CannotListen(f"The host {host!r} {NOT_OURS}.") from None
    except PermissionError:
        raise CannotListen(f"Port {port} is reserved for the system's administrator; choose one above 1023.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(f"Port {port} {IN_USE}.") from None
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise CannotListen(f"The host {host!r} {NOT_OURS}.") from None
        raise CannotListen(f"The studio can't listen at {host}, port {port}: {error.strerror}.") from error


def reach_ourselves(host: str) -> None:
    """Keep requests of this process to itself from going through `http_proxy`, for this process and those it starts."""
    for name in NO_PROXY:
        entries = [entry.strip() for entry in os.environ.get(name, "").split(",") if entry.strip()]
        entries += [entry for entry in (*OWN, host.strip("[]")) if entry and entry not in entries]
        os.environ[name] = ",".join(entries)


def url_host(host: str) -> str:
    """The host as an address has it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
