#!/usr/bin/env python3
"""spin explores every interleaving of each model here: the model holds, and each of its mutations
(a `#define` that its comment lists) is found out. Exit status 77 where spin is not installed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = {"leases.pml": ["EARLY_LOOK", "LATE_CLEAR", "COLLECT_FIRST", "EARLY_SEND", "BLIND_TAKE"]}
MEGABYTES = 4000


def explore(model, defines):
    """What the search says: (errors, states)."""
    with tempfile.TemporaryDirectory() as folder:
        def run(*argv):
            return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout

        run("spin", "-a", *[f"-D{name}" for name in defines], os.path.join(HERE, model))
        run("gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEGABYTES}", "-o", "pan", "pan.c")
        said = subprocess.run(["./pan", "-m1000000"], cwd=folder, capture_output=True, text=True,
                              check=False).stdout
    if re.search(r"max search depth too small|memory limit|out of memory", said):
        sys.exit(f"{model} {defines}: the search is not complete:\n{said}")
    errors = re.search(r"errors: (\d+)", said)
    states = re.search(r"(\S+) states, stored", said)
    if errors is None or states is None:
        sys.exit(f"{model} {defines}: no result:\n{said}")
    return int(errors[1]), int(float(states[1]))


def main():
    if shutil.which("spin") is None:
        print("spin is not installed")
        return 77
    bad = 0
    for model, mutations in MODELS.items():
        errors, states = explore(model, [])
        print(f"{model}: {states} states, {errors} errors")
        bad += errors != 0 or states < 1000
        for mutation in mutations:
            errors, states = explore(model, [mutation])
            print(f"{model} with {mutation}: {'found' if errors else 'NOT FOUND'} after {states} states")
            bad += errors == 0
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
