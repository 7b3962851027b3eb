#!/usr/bin/env python3
"""The command line: help, version, and bad use, which is told in one line and ends with 2."""
import unittest

from ream import ream


class Usage(unittest.TestCase):
    def test_help(self):
        done = ream("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in ("run", "map", "show", "--version"):
            self.assertIn(word, done.stdout)
        self.assertIn("--report", ream("run", "--help").stdout)

    def test_version(self):
        done = ream("--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"^ream \d+\.\d+\.\d+\n$")

    def test_bad_use(self):
        for arguments in ([], ["fly"], ["run"], ["run", "--"], ["run", "--report"], ["run", "--wrong", "true"],
                          ["run", "--color", "blue", "true"], ["run", "--library"], ["map"], ["map", "x"],
                          ["map", "0"], ["map", "-3"], ["map", "1", "2"], ["show"], ["--report", "true"]):
            done = ream(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
            self.assertRegex(done.stderr, r"^ream: [^\n]+\n$", arguments)

    def test_options_of_the_program_are_its_own(self):
        done = ream("run", "echo", "--report", "--", "-h", "--library")
        self.assertEqual((done.returncode, done.stdout), (0, "--report -- -h --library\n"))
        done = ream("run", "--color", "never", "--", "echo", "--version")
        self.assertEqual((done.returncode, done.stdout, done.stderr)[:2], (0, done.stdout))
        self.assertNotIn("ream", done.stdout)


if __name__ == "__main__":
    unittest.main()
