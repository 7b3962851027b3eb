"""Instructions that the workloads of our own execute: a figure that a busy machine does not move.

From perf where the processor's counters can be read, else from callgrind, which is some fifty times
slower than the machine; so the workloads are counted at a small scale.
"""

import re
import shutil
import subprocess

from .micro import callgrind
from .runs import base_environment

SCALE = 0.02


def perf(argv, library):
    """Instructions in user space, or None where the counters cannot be read."""
    environment = {**base_environment(), "LD_PRELOAD": library}
    done = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", *argv], env=environment,
                          capture_output=True, text=True)
    found = re.search(r"^(\d+),.*instructions", done.stderr, re.MULTILINE)
    return int(found.group(1)) if done.returncode == 0 and found else None


def counter(library):
    """The way that works here, or None."""
    if shutil.which("perf") and perf(["true"], library) is not None:
        return perf
    return callgrind if shutil.which("valgrind") else None


def count(workloads, allocators, progress):
    """{workload: {allocator: instructions or None}} of the workloads of our own."""
    way = counter(allocators["glibc"])
    if way is None:
        raise SystemExit("compare: --instructions needs perf with counters, or valgrind")
    counts = {}
    for workload in workloads:
        if workload.kind == "workload":
            progress(workload.name)
            argv = [*workload.argv[:2], repr(SCALE)]
            counts[workload.name] = {name: way(argv, library) for name, library in allocators.items()}
    return counts


def table(counts, allocators):
    """Millions of instructions at the small scale."""
    width = max(map(len, counts), default=0)
    lines = [f"Millions of instructions at scale {SCALE}",
             f"{'':<{width}} " + " ".join(f"{name:>10}" for name in allocators)]
    for workload, row in counts.items():
        cells = [f"{row[name] / 1e6:10.2f}" if row[name] is not None else f"{'failed':>10}"
                 for name in allocators]
        lines.append(f"{workload:<{width}} " + " ".join(cells))
    return "\n".join(lines)
