"""Run functions on hostile input in children that may use little time and memory, and report how each ended.

As a script it is the parent of those children: it imports the target once, then forks a child per case.
"""

import importlib
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

CPU_SECONDS = 2
MEMORY = 300 * 2**20  # bytes of address space and resident memory above those at rest after imports
_WALL_SECONDS = 120  # for all cases together, against deadlocks


class Outcome(NamedTuple):
    """How one case ended: the error's class and text, or error None and the repr of what came back."""

    error: str | None
    text: str
    resident: int  # bytes of resident memory above rest, at the peak


def run_limited(
    target: str, cases: Mapping[str, object], *, cpu_seconds: int = CPU_SECONDS
) -> dict[str, Outcome]:
    """Call `target` ("package.module:function") with each case's value, pickled, in a child of its own.

    A child over its limits ends with error "killed" (too much time) or, of memory, mostly "MemoryError".
    """
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONWARNINGS": "error",
    }
    done = subprocess.run(
        [sys.executable, __file__, target, str(cpu_seconds)],
        input=pickle.dumps(dict(cases)),
        stdout=subprocess.PIPE,
        env=environment,
        timeout=_WALL_SECONDS,
        check=True,
    )
    outcomes: dict[str, Outcome] = {
        name: Outcome(*fields) for name, fields in pickle.loads(done.stdout).items()
    }
    return outcomes


def _at_rest() -> tuple[int, int]:
    """Bytes of address space and of resident memory in use now (Linux)."""
    with open("/proc/self/statm") as file:
        size, resident = file.read().split()[:2]
    return int(size) * resource.getpagesize(), int(resident) * resource.getpagesize()


def _child(function: object, value: object, answer: int, cpu_seconds: int) -> None:
    address_space, resident = _at_rest()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = round(usage.ru_utime + usage.ru_stime) + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    resource.setrlimit(resource.RLIMIT_AS, (address_space + MEMORY, address_space + MEMORY))
    try:
        error, text = None, repr(function(value))[:500]  # type: ignore[operator]
    except BaseException as exc:
        error, text = type(exc).__name__, str(exc)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with os.fdopen(answer, "wb") as file:
        file.write(pickle.dumps((error, text, peak - resident)))


def main() -> None:
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    outcomes = {}
    for case, value in pickle.load(sys.stdin.buffer).items():
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _child(function, value, writing, int(sys.argv[2]))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            answer = file.read()
        _, status = os.waitpid(child, 0)
        outcomes[case] = pickle.loads(answer) if answer else ("killed", f"wait status {status}", 0)
    sys.stdout.buffer.write(pickle.dumps(outcomes))


if __name__ == "__main__":
    main()
