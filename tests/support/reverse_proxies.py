"""nginx and Caddy before a studio, with the lines of docs/deployment.md."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hypersd_app.bench.browser.chromium import free_port
from hypersd_app.settings import ROOT

Rewritten = Callable[[str], str]
NGINX = """
worker_processes 1;
error_log stderr;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
{user}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {lines}
}}
"""
CADDY = "{{\n    admin off\n    auto_https off\n    grace_period 1s\n}}\n{lines}\n"


def documented(language: str) -> str:
    """The block of that language in docs/deployment.md."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/deployment.md has no {language} block"
    return found[1]


def proxy_lines(name: str, port: int, upstream: int, path: str) -> str:
    """The documented lines for the proxy, at other ports and another path, and without TLS."""
    lines = documented(name).replace("127.0.0.1:7860", f"127.0.0.1:{upstream}").replace("/studio", path)
    if name == "nginx":
        return lines.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    return lines.replace("studio.example {", f"http://localhost:{port} {{")


@contextmanager
def reverse_proxy(name: str, folder: Path, upstream: int, path: str, change: Rewritten = str) -> Iterator[str]:
    """Run the proxy; the address of the studio behind it, with a slash. Skips the test where it is not installed."""
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is None:
        pytest.skip(f"{name} is not installed, and could not be by `make test` (it takes apt-get and root)")
    port = free_port()
    lines = change(proxy_lines(name, port, upstream, path))
    file = folder / ("nginx.conf" if name == "nginx" else "Caddyfile")
    user = "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    file.write_text((NGINX if name == "nginx" else CADDY).format(lines=lines, folder=folder, user=user), encoding="utf-8")
    options = ["-c", str(file), "-p", str(folder), "-g", "daemon off;"]
    if name == "caddy":
        options = ["run", "--config", str(file), "--adapter", "caddyfile"]
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen([program, *options], stdout=log, stderr=log, env=environment)
        try:
            _await_port(port, process, folder / "log")
            yield f"http://localhost:{port}{path}/"
        finally:
            process.terminate()
            process.wait(20)


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"the proxy did not start: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
