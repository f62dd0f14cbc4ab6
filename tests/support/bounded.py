"""Run a function in a process of its own under limits of time and memory: what a parser of visitors' input must keep to."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

MEGABYTE = 1024 * 1024


def _run(line: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Answer with what the function returned or raised, processor seconds it took, and bytes it added to the peak memory."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        told: Any = function(*arguments)
    except Exception as error:  # noqa: BLE001 - told to the test, which judges it
        told = error
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    line.send((told, spent, (after.ru_maxrss - before.ru_maxrss) * 1024))


def bounded(function: Callable[..., Any], *arguments: Any, seconds: float = 1.0, megabytes: float = 200) -> Any:
    """What `function` returns, or the error it raises, returned. Fails if it takes more processor time or memory.

    In a forked process, since a peak of memory is that of a whole process, and since what hangs has to be killed.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(there, function, arguments))
    process.start()
    there.close()
    try:
        assert here.poll(10 * seconds + 10), f"{function.__name__} took more than {10 * seconds + 10:.0f} s"
        told, spent, added = here.recv()
    finally:
        process.kill()
        process.join()
    assert spent <= seconds, f"{function.__name__} took {spent:.2f} s of the processor; at most {seconds} are allowed"
    assert added <= megabytes * MEGABYTE, f"{function.__name__} took {added / MEGABYTE:.0f} MB; at most {megabytes} are allowed"
    return told
