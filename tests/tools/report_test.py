#!/usr/bin/env python3
"""`ream run --report` and `ream show`: the report tells of a program whose heap is known."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

from ream import KNOWN, KNOWN_STATIC, PYTHON, REAM, number, ream


def live_objects(report):
    return number(re.search(r"live heap .* in ([\d,]+) objects", report).group(1))


class Report(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def report(self, *command, **options):
        file = self.folder / "report.txt"
        done = ream("run", "--report-file", str(file), "--", *command, **options)
        return done, file.read_text()

    def assert_known(self, report):
        """10,000 objects of 1000 bytes (class 1024) and 3 of 5 MiB, and the little that libc has."""
        live = live_objects(report)
        self.assertGreaterEqual(live, 10_003)
        self.assertLess(live, 10_100)
        row = re.search(r"^ +1024 +([\d,]+) ", report, re.M)
        self.assertEqual(number(row.group(1)) // 100, 100, report)
        self.assertRegex(report, r"3 large objects, 15\.0 MiB; the biggest: 5\.0 MiB at c0[0-9a-f]+,")
        self.assertIn("15.0 MiB live large", report)

    def assert_map(self, report):
        """Three large objects, over 15 MiB of cells of one size, and a full stretch of small ones."""
        match = re.search(r"heap map, one cell = \d+ pages? \(([\d.]+) KiB\)", report)
        cell = float(match.group(1)) * 1024
        rows = re.findall(r"^  [0-9a-f]{12}  (.*)$", report, re.M)
        cells = "".join(rows)
        self.assertAlmostEqual(cells.count("L") * cell, 15 << 20, delta=8 * cell)
        self.assertAlmostEqual(cells.count("#") * cell, 10_240_000, delta=1 << 20)
        self.assertLessEqual(len(rows), 24)
        self.assertLessEqual(max(map(len, rows)), 64)
        for letter in "#+-Ll._":
            self.assertRegex(report, rf"(?m)^  (.* )?{re.escape(letter)} [a-z]")

    def test_known_program(self):
        done, report = self.report(KNOWN)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(report, rf"^ream: {re.escape(KNOWN)} exited with status 0\n  time ")
        self.assertNotIn("\x1b", report)
        self.assert_known(report)
        self.assert_map(report)
        peak = float(re.search(r"peak RSS +([\d.]+) MiB", report).group(1))
        self.assertGreater(peak, 24)
        self.assertNotIn("unsure", report)

    def test_program_with_ream_in_itself(self):
        environment = {**os.environ, "REAM_REPORT": str(self.folder / "frame")}
        subprocess.run([KNOWN_STATIC], env=environment, check=True, stdout=subprocess.DEVNULL)
        self.assert_known(ream("show", environment["REAM_REPORT"]).stdout)

    def test_goes_to_stderr(self):
        done = ream("run", "--report", "--", KNOWN)
        self.assertEqual(done.stdout.strip().isdigit(), True)
        self.assert_known(done.stderr)

    def test_color_when_asked_for(self):
        for always, options in ((True, ["--color", "always"]), (False, ["--color", "auto"]), (False, [])):
            done = ream("run", "--report", *options, "--", KNOWN)
            self.assertEqual("\x1b[" in done.stderr, always)
            self.assertEqual(re.sub(r"\x1b\[[\d;]*m", "", done.stderr).count("L" * 10) > 0, True)

    def test_terminal(self):
        """Colour and width of a terminal; NO_COLOR is respected."""
        for no_color in ("", "1"):
            master, slave = os.openpty()
            environment = {**os.environ, "TERM": "xterm", "NO_COLOR": no_color}
            process = subprocess.Popen([REAM, "run", "--report", "--", KNOWN], stderr=slave,
                                       stdout=subprocess.DEVNULL, env=environment)
            os.close(slave)
            seen = b""
            try:
                while chunk := os.read(master, 65536):
                    seen += chunk
            except OSError:
                pass
            os.close(master)
            self.assertEqual(process.wait(), 0)
            self.assertEqual(b"\x1b[" in seen, no_color == "")

    def test_child_of_fork_leaves_the_report_alone(self):
        done, report = self.report(KNOWN, "fork")
        self.assertEqual(done.returncode, 0)
        self.assert_known(report)

    def test_programs_run_by_the_program_leave_the_report_alone(self):
        code = (f"import subprocess, sys, os\n"
                f"keep = [bytearray(5 << 20) for _ in range(4)]\n"
                f"subprocess.run([{KNOWN!r}], stdout=subprocess.DEVNULL)\n"
                f"subprocess.run(['{PYTHON}', '-c', '1'])\n"
                f"pid = os.fork()\n"
                f"if pid == 0: os.execv({KNOWN!r}, ['known', 'fork'])\n"
                f"os.waitpid(pid, 0)\n"
                f"sys.stdout.flush()\n"
                f"keep_to_the_end = keep; os.environ['x'] = 'y'\n"
                f"import atexit; atexit.register(lambda: keep_to_the_end)\n")
        done, report = self.report(PYTHON, "-c", code)
        self.assertEqual(done.returncode, 0)
        self.assertNotRegex(report, r"3 large objects, 15\.0 MiB")
        row = re.search(r"^ +1024 +([\d,]+) ", report, re.M)
        self.assertTrue(row is None or number(row.group(1)) < 5000)

    def test_exec_hands_the_report_on(self):
        done, report = self.report(PYTHON, "-c", f"import os; os.execv({KNOWN!r}, ['known'])")
        self.assertEqual(done.returncode, 0)
        self.assert_known(report)

    def test_says_when_there_is_no_report(self):
        words = r"\nno report of the heap: the program ended without running its exit handlers[^\n]*\n$"
        done, report = self.report(KNOWN, "leave")
        self.assertEqual(done.returncode, 5)
        self.assertRegex(report, words)
        done, report = self.report("sh", "-c", "kill -KILL $$")
        self.assertEqual(done.returncode, -signal.SIGKILL)
        self.assertRegex(report, r"^ream: sh was killed by SIGKILL\n")
        self.assertRegex(report, words)

    def test_report_file_that_cannot_be_written(self):
        done = ream("run", "--report-file", "/no/folder/file", "--", "true")
        self.assertEqual(done.returncode, 125)
        self.assertRegex(done.stderr, r"^ream: /no/folder/file: [^\n]+\n$")

    def test_leaves_nothing_behind(self):
        environment = {**os.environ, "TMPDIR": str(self.folder)}
        self.assertEqual(ream("run", "--report", KNOWN, env=environment).returncode, 0)
        self.assertEqual(ream("run", "--report", "/no/program", env=environment).returncode, 127)
        self.assertEqual(list(self.folder.iterdir()), [])


class SavedReport(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.frame = pathlib.Path(folder.name) / "frame"

    def run_known(self, value, mode=""):
        environment = {**os.environ, "REAM_REPORT": value}
        return ream("run", KNOWN, mode, env=environment)

    def test_every_program_writes_without_a_number(self):
        done = self.run_known(str(self.frame))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        shown = ream("show", str(self.frame))
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        self.assertRegex(shown.stdout, rf"^process {done.stdout.strip()}, ream \d")
        Report.assert_known(self, shown.stdout)
        Report.assert_map(self, shown.stdout)

    def test_another_process_does_not_write(self):
        done = self.run_known(f"{self.frame}:1")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertFalse(self.frame.exists())

    def test_what_is_no_file_is_left_alone(self):
        os.mkfifo(self.frame)
        done = self.run_known(str(self.frame))
        self.assertEqual(done.returncode, 0)
        self.assertIn("cannot be written", done.stderr)

    def test_show_refuses_what_is_no_frame(self):
        for content, words in (b"", "too short"), (b"x" * 100, "not a frame"):
            self.frame.write_bytes(content)
            shown = ream("show", str(self.frame))
            self.assertEqual((shown.returncode, shown.stdout), (1, ""))
            self.assertRegex(shown.stderr, rf"^ream: [^\n]*{words}[^\n]* \(at byte \d+\)\n$")
        self.run_known(str(self.frame))
        whole = self.frame.read_bytes()
        self.frame.write_bytes(whole[:len(whole) // 2])
        self.assertIn("cut short", ream("show", str(self.frame)).stderr)
        self.assertEqual(ream("show", str(self.frame) + ".no").returncode, 1)


if __name__ == "__main__":
    unittest.main()
