#!/usr/bin/env python3
"""`ream map`: the heap of a process that runs, from outside."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from ream import KNOWN, KNOWN_STATIC, PYTHON, REAM, ream
from report_test import Report


class Map(unittest.TestCase):
    def start(self, *command):
        """A process on ream that has said its first line and then waits for one on stdin."""
        process = subprocess.Popen([REAM, "run", *command], text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        self.addCleanup(self.finish, process)
        self.assertNotEqual(process.stdout.readline(), "")
        return process

    def finish(self, process):
        process.stdin.close()
        process.wait()
        process.stdout.close()

    def test_known_program(self):
        process = self.start(KNOWN, "wait")
        shown = ream("map", str(process.pid))
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        self.assertRegex(shown.stdout, rf"^known, process {process.pid}, ream \d")
        Report.assert_known(self, shown.stdout)
        Report.assert_map(self, shown.stdout)
        self.assertIsNone(process.poll())

    def test_busy_process(self):
        code = ("import threading, sys\n"
                "stop = False\n"
                "def work():\n"
                "    keep = []\n"
                "    while not stop:\n"
                "        keep.append(bytearray(len(keep) * 37 % 70000 + 500))\n"
                "        if len(keep) > 2000: keep = keep[::3]\n"
                "threads = [threading.Thread(target=work) for _ in range(3)]\n"
                "for t in threads: t.start()\n"
                "print('ready', flush=True)\n"
                "sys.stdin.readline()\n"
                "stop = True\n")
        process = self.start(PYTHON, "-c", code)
        for _ in range(20):
            shown = ream("map", str(process.pid))
            self.assertEqual((shown.returncode, shown.stderr), (0, ""))
            self.assertIn("heap map", shown.stdout)
        self.assertIsNone(process.poll())

    def test_library_that_was_deleted(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "libream.so"
            shutil.copy(pathlib.Path(REAM).parent / "libream.so", copy)
            process = self.start("--library", str(copy), KNOWN, "wait")
        shown = ream("map", str(process.pid))
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        Report.assert_known(self, shown.stdout)

    def test_program_with_ream_in_itself(self):
        """Not preloaded; its symbols say where the root is, and without them its data does."""
        with tempfile.TemporaryDirectory() as folder:
            stripped = os.path.join(folder, "known")
            subprocess.run(["strip", "-o", stripped, KNOWN_STATIC], check=True)
            for program in (KNOWN_STATIC, stripped):
                process = subprocess.Popen([program, "wait"], text=True, stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE)
                self.addCleanup(self.finish, process)
                process.stdout.readline()
                Report.assert_known(self, ream("map", str(process.pid)).stdout)

    def test_process_without_ream(self):
        shown = ream("map", str(os.getpid()))
        self.assertEqual((shown.returncode, shown.stdout), (1, ""))
        self.assertRegex(shown.stderr, rf"^ream: process {os.getpid()} \([^\n]+\) does not run on ream\n$")

    def test_no_process(self):
        shown = ream("map", "2147483647")
        self.assertEqual((shown.returncode, shown.stdout), (1, ""))
        self.assertEqual(shown.stderr, "ream: there is no process 2147483647\n")


if __name__ == "__main__":
    # The cases of report_test are its own.
    unittest.main(defaultTest="Map")
