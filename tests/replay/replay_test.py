#!/usr/bin/env python3
"""page_replay: no mismatch on the oracle's sample, each change to it found, bad files told.

PAGE_REPLAY names the program. REAM_ORACLE, if set, names run_oracle.sh (tests/oracle has a copy): with
Go 1.19 and its sources installed, fresh traces and vectors are made and replayed. REAM_ORACLE_SEEDS is
the first and the last seed, "21 21" if not set.
"""
import glob
import os
import re
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
SAMPLE = os.path.join(HERE, "..", "data", "oracle", "sample.tar.xz")
PAGE_REPLAY = os.environ.get("PAGE_REPLAY", "page_replay")
LAST_LINE = re.compile(r"OPS (\d+) MISMATCHES (\d+)\n\Z")


def replay(*paths):
    return subprocess.run([PAGE_REPLAY, *paths], capture_output=True, text=True)


class Files(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def write(self, text):
        path = os.path.join(self.folder, "file.txt")
        with open(path, "w") as out:
            out.write(text)
        return path

    def assert_all_equal(self, folder, at_least):
        paths = sorted(glob.glob(os.path.join(folder, "**", "*.txt"), recursive=True))
        done = replay(*paths)
        self.assertEqual(done.returncode, 0, done.stderr)
        ops, mismatches = map(int, LAST_LINE.search(done.stdout).groups())
        self.assertEqual(mismatches, 0)
        self.assertGreaterEqual(ops, at_least)
        return paths


class Sample(Files):
    def test_sample(self):
        subprocess.run(["tar", "xf", SAMPLE, "-C", self.folder], check=True)
        paths = self.assert_all_equal(self.folder, 500000)
        self.assertEqual(len(paths), 27)


class Fresh(Files):
    @unittest.skipUnless(os.environ.get("REAM_ORACLE"), "REAM_ORACLE does not name run_oracle.sh")
    def test_fresh(self):
        script = os.environ["REAM_ORACLE"]
        seeds = os.environ.get("REAM_ORACLE_SEEDS", "21 21").split()
        oracle = os.path.join(self.folder, "oracle.test")
        subprocess.run(["sh", script, "build", oracle], check=True)
        for kind in ("traces", "vectors"):
            subprocess.run(["sh", script, kind, self.folder, *seeds], check=True,
                           env={**os.environ, "ORACLE_BIN": oracle})
        self.assert_all_equal(self.folder, 400000)


TRACE = """\
# oracle trace 1
# const page=8192 chunkpages=512 levels=5 hugepages=0 minpages=1 caches=1
G 0 512
A 3 -> 0 3
F 0 2
A 1 -> 0 0
C 0 -> 0 fffffffffffffffa fffffffffffffff8
c 0 2 -> 3 2
X 0
S 8192 -> 8192
F 3 2
S 4096 -> 8192
S 8192 -> 8192
S 8192 -> 0
"""


class SmallTrace(Files):
    def test_as_it_is(self):
        self.assertEqual(replay(self.write(TRACE)).stdout, "OPS 12 MISMATCHES 0\n")

    def test_each_changed_result_is_found(self):
        calls = TRACE.splitlines(keepends=True)
        for number, line in enumerate(calls):
            call, arrow, result = line.rstrip("\n").partition(" -> ")
            if not arrow:
                continue
            wrong = "7" if result == "-" else "-"
            changed = calls[:number] + [f"{call} -> {wrong}\n"] + calls[number + 1:]
            done = replay(self.write("".join(changed)))
            self.assertEqual(done.returncode, 1, line)
            self.assertGreaterEqual(int(LAST_LINE.search(done.stdout).group(2)), 1)
            self.assertIn(f":{number + 1}: mismatch", done.stderr)

    def test_free_of_pages_that_are_not_in_use(self):
        done = replay(self.write(BadFiles.HEAD + "F 5 1\n"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("refused", done.stderr)


class BadFiles(Files):
    HEAD = "".join(TRACE.splitlines(keepends=True)[:3])

    def assert_malformed(self, text, line, why):
        done = replay(self.write(text))
        self.assertEqual(done.returncode, 2, text)
        self.assertRegex(done.stderr, rf"file\.txt:{line}: .*{why}")

    def test_traces(self):
        for text, line, why in (
                ("", 0, "not an oracle file"),
                ("hello\n", 1, "not an oracle file"),
                ("# oracle trace 2\n", 1, "unknown version"),
                ("# oracle bones 1\nb 0\n", 1, "unknown kind"),
                ("# oracle trace 1\n", 1, "const"),
                ("# oracle trace 1\nA 1 -> 0 0\n", 2, "const"),
                ("# oracle trace 1\n# const page=4096\n", 2, "another geometry"),
                ("# oracle trace 1\n# const minpages=3\n", 2, "out of range"),
                (self.HEAD + "Z 1\n", 4, "unknown operation"),
                (self.HEAD + "\n", 4, "an empty line"),
                (self.HEAD + "A\n", 4, "a field is missing"),
                (self.HEAD + "A x -> -\n", 4, "not a number"),
                (self.HEAD + "A 99999999999999999999 -> -\n", 4, "not a number"),
                (self.HEAD + "A 1 2 -> -\n", 4, "too many fields"),
                (self.HEAD + "C 1 -> -\n", 4, "out of range"),
                (self.HEAD + "E\nN 0 1\n", 5, "another length")):
            self.assert_malformed(text, line, why)

    def test_vectors(self):
        for kind, text, why in (
                ("bits", "b 0 0 0", "a field is missing"),
                ("bits", "r ff 65 0", "out of range"),
                ("bits", "a 1 3 0", "not a power of two"),
                ("bits", "q 1", "unknown line"),
                ("bits", "e 0 0 0 0 0 0 0 0 | set 500 20 | 0 0 0 0 0 0 0 0", "out of range"),
                ("sums", "m 30 | 0,0,0", "out of range"),
                ("sums", "m 9 | 0,0", "malformed group"),
                ("ranges", "add 1 | 0", "not a number"),
                ("ranges", "grow 1", "unknown line")):
            self.assert_malformed(f"# oracle {kind} 1\n{text}\n", 2, why)

    def test_bad_use(self):
        self.assertEqual(replay().returncode, 2)
        self.assertEqual(replay(os.path.join(self.folder, "none.txt")).returncode, 2)


if __name__ == "__main__":
    unittest.main()
