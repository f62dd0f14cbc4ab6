"""One process with a whole batch, one that adds up halves, and two with half each: the same losses, the same weights."""

import json
import os
import socket
import subprocess
import sys

import pytest

from hypersd_app.settings import ROOT
from tests.support.two_processes import run

METHODS = ("tcd", "tscd-dmd")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def as_several(count, batch, accumulation, methods=METHODS):
    """The script as `count` processes that talk over gloo."""
    port = str(free_port())
    started = []
    for rank in range(count):
        environment = {
            **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
            "LOCAL_WORLD_SIZE": str(count), "MASTER_PORT": port, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.support.two_processes", str(batch), str(accumulation), *methods]
        started.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        )
    outputs = [process.communicate(timeout=150) for process in started]
    assert all(process.returncode == 0 for process in started), outputs[0][1][-2000:] + outputs[-1][1][-2000:]
    return json.loads(outputs[0][0].splitlines()[-1])


def same(found, expected):
    assert found["losses"] == pytest.approx(expected["losses"], rel=2e-3)
    assert found["weights"] == pytest.approx(expected["weights"], rel=1e-5)


def test_adding_up_two_halves_is_one_batch():
    # TCD, which trains nothing beside the student: heads and fake score would learn between the halves.
    whole, halves = run("tcd", 4, 1)[1], run("tcd", 2, 2)[1]
    same(halves, whole)
    assert run("tcd", 2, 1)[1]["losses"] != pytest.approx(whole["losses"], rel=2e-3), "half a batch is another loss"


@pytest.mark.slow
def test_two_processes_with_half_a_batch_each_are_one_with_the_whole():
    found = as_several(2, 2, 1)
    for method, result in zip(METHODS, found, strict=True):
        same(result, run(method, 4, 1)[1])


def test_two_processes_hold_half_of_the_frozen_network_each_and_learn_the_same():
    (found,) = as_several(2, 2, 1, ["tscd-dmd+sharded"])
    assert found["kinds"] == ["DTensor"] and found["held"] == pytest.approx(0.5, abs=0.05)  # rows of odd numbers do not halve
    alone = run("tscd-dmd", 4, 1)[1]
    assert alone["kinds"] == ["Tensor"] and alone["held"] == 1
    same(found, alone)
