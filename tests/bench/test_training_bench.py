"""The allocator that keeps freed memory, and the benchmark that measures what it is worth."""

import io
import json
import subprocess
import sys

import pytest

from hypersd_app.bench import training
from hypersd_app.cli import main
from hypersd_app.errors import HyperSDError
from hypersd_app.system import c_library, keep_freed_memory

# Page faults of filling 64 MiB for the second time, after the first block was freed.
FAULTS = """
import resource, sys
import numpy as np
from hypersd_app.system import keep_freed_memory
took = keep_freed_memory() if sys.argv[1] == "kept" else None
np.ones(8 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(8 * 2**20)
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
GLIBC = hasattr(c_library(), "mallopt")


def faults(setting):
    done = subprocess.run([sys.executable, "-c", FAULTS, setting], capture_output=True, encoding="utf-8", check=True, timeout=120)
    took, count = done.stdout.split()
    return took, int(count)


@pytest.mark.skipif(not GLIBC, reason="the allocator is not glibc's")
def test_a_large_block_is_used_again_without_page_faults():
    _, default = faults("default")
    took, kept = faults("kept")
    assert took == "True"
    assert kept < 0.1 * default


def test_another_allocator_is_left_alone(monkeypatch):
    monkeypatch.setattr("hypersd_app.system.c_library", lambda: None)
    assert keep_freed_memory() is False


@pytest.mark.slow
def test_both_processes_take_turns_and_the_ratio_is_told(tmp_path, capsys):
    path = tmp_path / "figures.json"
    words = ["bench", "training", "--network", "autoencoder", "--rounds", "1", "--steps", "1", "--batch", "1"]
    assert main([*words, "--threads", "1", "--json", str(path)]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found.keys() == set(training.SETTINGS) and all(value > 0 for values in found.values() for value in values)
    assert "ratio" in capsys.readouterr().out


def test_the_ratio_is_that_of_neighbouring_turns():
    found = {"default": [1.0, 2.0, 4.0], "kept": [2.0, 3.0, 6.0]}
    assert training.report(found) == "default: 2.0 images/s, kept: 3.0 images/s; ratio 1.50 (1.50-2.00 in 3 turns)"


def test_a_worker_answers_each_request_with_its_seconds():
    taken, answers = [], io.StringIO()
    training.serve_turns(taken.append, io.StringIO("2\n1\n"), answers)
    assert taken == [0, 1, 2] and len([float(line) for line in answers.getvalue().splitlines()]) == 2


def test_a_worker_that_dies_is_an_error():
    worker = subprocess.Popen(
        [sys.executable, "-c", "raise SystemExit(3)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    worker.wait(60)
    with pytest.raises(HyperSDError, match="status 3"):
        training._turn(worker, 1)
    worker.communicate()
