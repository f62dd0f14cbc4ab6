"""The server that benchmarks start reaches nobody but this machine."""

from __future__ import annotations

from hypersd_app.bench.load.server import own_environment
from hypersd_app.settings import Settings, from_environment


def test_what_is_set_here_opens_it_to_nobody(monkeypatch) -> None:
    for name, value in {"HYPERSD_SHARE": "1", "HYPERSD_HOST": "0.0.0.0", "GRADIO_SERVER_NAME": "0.0.0.0"}.items():
        monkeypatch.setenv(name, value)
    found = from_environment(own_environment(Settings(backend="torch", share=True).environment))
    assert (found.host, found.share, found.public, found.backend) == ("127.0.0.1", False, False, "torch")
