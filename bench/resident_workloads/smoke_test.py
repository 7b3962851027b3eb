#!/usr/bin/env python3
"""Every workload of bench_resident does the same under every allocator, and yields its figures.

    smoke_test.py BENCH_RESIDENT [LIBRARY...]

Runs each workload once at a tiny scale, hardly waiting, on libc's malloc and once with each library
preloaded, and compares checksums. What the figures are is not looked at.
"""

import subprocess
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from comparing.resident import phases_of, rows_of, table  # noqa: E402
from comparing.resident_figures import FIGURES  # noqa: E402
from comparing.runs import base_environment  # noqa: E402

SCALE, WAITS = "0.002", "0.01"
TIMEOUT_S = 300


def names():
    listing = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True)
    return [line.split("\t")[0] for line in listing.stdout.splitlines()]


def run(name, library):
    """(run, checksum)"""
    environment = {**base_environment(), **({"LD_PRELOAD": library} if library else {})}
    done = subprocess.run([PROGRAM, name, SCALE, WAITS], env=environment, capture_output=True,
                          text=True, timeout=TIMEOUT_S)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"{name} on {library}: status {done.returncode}: {done.stderr.strip()}")
    return phases_of(done.stdout)


class Smoke(unittest.TestCase):
    def test_figures_name_the_workloads(self):
        self.assertEqual({figure.workload for figure in FIGURES}, set(names()))

    def test_workloads(self):
        results = {}
        for name in names():
            with self.subTest(name):
                expected = run(name, None)
                for library in [None, *LIBRARIES]:
                    found = run(name, library)
                    self.assertEqual(found[1], expected[1])
                    cell = {"samples": [expected[0], found[0]], "error": None}
                    results.setdefault(name, {})[str(library)] = cell
        rows = rows_of(results)
        # TLB misses are not counted everywhere.
        self.assertGreaterEqual(len(rows), len(FIGURES) - 1)
        self.assertIn("RSS when full", table(rows, ["None", *LIBRARIES]))


if __name__ == "__main__":
    PROGRAM, *LIBRARIES = [argument for argument in sys.argv[1:] if argument]
    unittest.main(argv=sys.argv[:1])
