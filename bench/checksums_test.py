#!/usr/bin/env python3
"""Every workload does the same operations under every allocator.

    checksums_test.py BENCH_WORKLOADS [LIBRARY...]

Runs each workload once at a tiny scale on libc's malloc and once with each library preloaded, and
compares checksums and operation counts. Exits 1 when a run fails or differs.
"""

import json
import os
import subprocess
import sys

SCALE = "0.002"
TIMEOUT_S = 300


def run(program, name, library):
    """The workload's result, or a text that says why there is none."""
    environment = dict(os.environ)
    environment.pop("LD_PRELOAD", None)
    if library:
        environment["LD_PRELOAD"] = library
    try:
        done = subprocess.run([program, name, SCALE], env=environment, capture_output=True,
                              text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"no end after {TIMEOUT_S} s"
    if done.returncode != 0 or done.stderr:
        return f"exit status {done.returncode}: {done.stderr.strip()}"
    result = json.loads(done.stdout)
    return result["checksum"], result["ops"]


def main():
    program, libraries = sys.argv[1], [path for path in sys.argv[2:] if path]
    listing = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    names = [line.split("\t")[0] for line in listing.stdout.splitlines()]
    failures = 0
    for name in names:
        expected = run(program, name, None)
        if isinstance(expected, str):
            print(f"{name}: libc: {expected}")
            failures += 1
            continue
        for library in libraries:
            found = run(program, name, library)
            if found != expected:
                print(f"{name}: {os.path.basename(library)}: {found}, libc: {expected}")
                failures += 1
    print(f"{len(names)} workloads on {1 + len(libraries)} allocators, {failures} failures")
    return 1 if failures or not names else 0


if __name__ == "__main__":
    sys.exit(main())
