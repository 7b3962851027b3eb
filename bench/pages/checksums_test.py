#!/usr/bin/env python3
"""Every mix of bench_pages does what Go's benchmark of that name does.

    checksums_test.py BENCH_PAGES

Runs each mix on its smallest heap, as long as compare runs it (rare states need many operations), and
compares its checksum with the one in go_checksums.txt, which Go computed (bench/pages/compare --record).
The mixes of 128 TiB must arrive at the checksums of 64 MiB. A mix that has a counterpart and no line in
the file fails.
"""

import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from comparing import page_runs  # noqa: E402
from comparing.pages import smallest  # noqa: E402


def recorded():
    """{mix: (operations, checksum)}"""
    lines = (HERE / "go_checksums.txt").read_text().splitlines()
    fields = (line.split() for line in lines if not line.startswith("#"))
    return {name: (int(ops), int(checksum)) for name, ops, checksum in fields}


class Checksums(unittest.TestCase):
    def setUp(self):
        self.mixes = page_runs.list_mixes(PROGRAM)
        self.go = recorded()

    def test_every_mix_is_recorded(self):
        self.assertEqual(set(smallest(filter(page_runs.has_go, self.mixes))), set(self.go))

    def test_as_go(self):
        self.check({name: name for name in self.go})

    def test_far_apart_as_64_mib(self):
        far = [name for name in self.mixes if "heap=128TiB" in name and "occ=50" not in name
               and "occ=99" not in name and not page_runs.has_state_checksum(name)]
        self.assertTrue(far)
        self.check({name: page_runs.at_64mib(name) for name in far})

    def check(self, recorded_as):
        """Runs mixes; the values name the lines of the file that they must agree with."""
        for names, ops in page_runs.groups({name: self.go[line][0] for name, line in recorded_as.items()}):
            found = page_runs.run_ream(PROGRAM, names, ops)
            for name in names:
                with self.subTest(name):
                    self.assertEqual(int(found[name]["csum"]), self.go[recorded_as[name]][1])


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
