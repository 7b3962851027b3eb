#!/usr/bin/env python3
"""`ream run` looks like the program it runs: streams, exit status, signals, environment."""
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest

from ream import PYTHON, REAM, ream

# Both ways in which a program is run: in the place of the command, and as its child.
WAYS = ([], ["--report-file", os.devnull])


class Run(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_exit_status(self):
        for way in WAYS:
            for status in (0, 1, 2, 77, 125, 255):
                done = ream("run", *way, "sh", "-c", f"exit {status}")
                self.assertEqual((done.returncode, done.stdout, done.stderr), (status, "", ""))

    def test_streams(self):
        for way in WAYS:
            done = ream("run", *way, "--", "sh", "-c", "cat; echo wrong >&2", stdin=None, input="line\n")
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "line\n", "wrong\n"))

    def test_runs_on_ream(self):
        code = "print('libream.so' in open('/proc/self/maps').read())"
        for way in WAYS:
            self.assertEqual(ream("run", *way, PYTHON, "-c", code).stdout, "True\n")

    def test_dies_by_the_same_signal(self):
        for way in WAYS:
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGABRT):
                done = ream("run", *way, "sh", "-c", f"ulimit -c 0; kill -{int(number)} $$")
                self.assertEqual(done.returncode, -number, way)

    def test_forwards_signals(self):
        # The signal may come while 'ready' is being written: no buffers.
        code = ("import os, signal, sys\n"
                "def got(number, frame): os.write(1, b'%d\\n' % number); sys.exit(40)\n"
                "for n in (1, 2, 3, 15): signal.signal(n, got)\n"
                "os.write(1, b'ready\\n')\n"
                "while True: signal.pause()\n")
        for way in WAYS:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
                with subprocess.Popen([REAM, "run", *way, PYTHON, "-c", code], text=True,
                                      stdout=subprocess.PIPE) as process:
                    self.assertEqual(process.stdout.readline(), "ready\n")
                    process.send_signal(number)
                    self.assertEqual(process.stdout.read(), f"{int(number)}\n")
                    self.assertEqual(process.wait(), 40)

    def test_ignored_signals_stay_ignored(self):
        code = "import signal; print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
        for way in WAYS:
            done = ream("run", *way, PYTHON, "-c", code,
                        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
            self.assertEqual(done.stdout, "True\n")

    def test_signal_mask_is_the_callers(self):
        code = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
        for way in WAYS:
            self.assertEqual(ream("run", *way, PYTHON, "-c", code).stdout, "[]\n")

    def test_not_found(self):
        for way in WAYS:
            for name in ("no-such-program", "/no/such/program", str(self.folder / "no")):
                done = ream("run", *way, name)
                self.assertEqual(done.returncode, 127)
                self.assertRegex(done.stderr, rf"^ream: {name}: [^\n]+\n$")

    def test_not_executable(self):
        plain = self.folder / "plain"
        plain.write_text("text")
        script = self.folder / "script"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        for way in WAYS:
            for program in (plain, self.folder):
                done = ream("run", *way, str(program))
                self.assertEqual(done.returncode, 126, program)
                self.assertRegex(done.stderr, r"^ream: [^\n]+: [^\n]+\n$")
            self.assertEqual(ream("run", *way, str(script)).returncode, 127)

    def test_finds_programs_in_path(self):
        program = self.folder / "greet"
        program.write_text("#!/bin/sh\necho hello $1\n")
        program.chmod(0o755)
        environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}
        for way in WAYS:
            self.assertEqual(ream("run", *way, "greet", "you", env=environment).stdout, "hello you\n")

    def test_keeps_what_was_preloaded(self):
        done = ream("run", "sh", "-c", "echo $LD_PRELOAD", env={**os.environ, "LD_PRELOAD": "libm.so.6"})
        self.assertRegex(done.stdout, r"^/[^:]*/libream\.so:libm\.so\.6\n$")

    def test_library_option(self):
        done = ream("run", "--library", "/no/libream.so", "true")
        self.assertEqual((done.returncode, done.stderr), (125, "ream: no library /no/libream.so\n"))
        copy = self.folder / "other.so"
        shutil.copy(pathlib.Path(REAM).parent / "libream.so", copy)
        done = ream("run", "--library", str(copy), "sh", "-c", "echo $LD_PRELOAD")
        self.assertEqual(done.stdout, f"{copy}\n")

    def test_library_in_lib_beside_bin(self):
        for name in ("bin", "lib"):
            (self.folder / name).mkdir()
        shutil.copy(REAM, self.folder / "bin" / "ream")
        shutil.copy(pathlib.Path(REAM).parent / "libream.so", self.folder / "lib")
        command = [self.folder / "bin" / "ream", "run", "sh", "-c", "echo $LD_PRELOAD"]
        self.assertEqual(subprocess.check_output(command, text=True), f"{self.folder}/lib/libream.so\n")

    def test_says_when_it_cannot_preload(self):
        source = self.folder / "static.c"
        source.write_text("int main(void) { return 9; }\n")
        static = self.folder / "static"
        if subprocess.run(["cc", "-static", source, "-o", static], capture_output=True).returncode == 0:
            done = ream("run", str(static))
            self.assertEqual(done.returncode, 9)
            self.assertIn("is statically linked", done.stderr)
        if os.getuid() == 0:
            copy = self.folder / "true"
            shutil.copy(shutil.which("true"), copy)
            os.chown(copy, 12345, -1)
            copy.chmod(0o755 | stat.S_ISUID)
            done = ream("run", str(copy))
            self.assertEqual(done.returncode, 0)
            self.assertIn("set-user-ID", done.stderr)


if __name__ == "__main__":
    unittest.main()
