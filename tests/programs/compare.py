"""Runs a program twice, without and with an allocator preloaded, and compares what it leaves.

A test is a scenario: a function that gets a Pass, runs commands through it and keeps files. The
driver calls it once per pass. Both passes see the same path for their working directory, the same
environment (but for LD_PRELOAD) and the same inputs, so everything kept must be equal byte for
byte: each command's stdout, stderr and exit status, and each file kept.

A test also fails when
  - any line of any output of the preloaded pass starts with "ream:",
  - the library is not mapped in a preloaded process (a path that does not load tests nothing),
  - a command ends by a signal or with another status than the scenario expects.

Use of a test:  <name>_test.py --lib LIBRARY [--long]
Exit status 0: equal. 1: something differs; each difference is told on stdout.
"""

import argparse
import ctypes
import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

# Fixed settings, so that no program's output depends on the caller's environment.
FIXED_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PERL_HASH_SEED": "0",
    "PERL_PERTURB_KEYS": "0",
    "SOURCE_DATE_EPOCH": "1700000000",
}
COMMAND_TIMEOUT_S = 3000
PR_SET_PDEATHSIG = 1
MESSAGE = re.compile(rb"^ream:.*", re.MULTILINE)


class Failure(Exception):
    """The test fails, for the reason given."""


def die_with_parent():
    """In the child before exec: end when the driver ends, also when the driver is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Pass:
    """One of the two passes: where it works, what it runs with, and what it has left so far."""

    def __init__(self, library, work_dir, input_dir, long):
        self.library = library  # None in the pass without
        self.work_dir = work_dir
        self.input_dir = input_dir  # made once, read by both passes
        self.long = long
        self.kept = {}  # name -> bytes
        self._checked = set()
        self.env = dict(FIXED_ENV, HOME=work_dir, TMPDIR=work_dir)
        if library:
            self.env["LD_PRELOAD"] = library

    def path(self, *parts):
        return os.path.join(self.work_dir, *parts)

    def input(self, *parts):
        return os.path.join(self.input_dir, *parts)

    def keep(self, name, data):
        """Adds data to what is compared."""
        if name in self.kept:
            raise Failure(f"the scenario keeps {name} twice")
        self.kept[name] = data if isinstance(data, bytes) else data.encode()

    def keep_file(self, name):
        with open(self.path(name), "rb") as file:
            self.keep(f"file {name}", file.read())

    def keep_tree(self, name):
        """Keeps every file below a directory of the working directory."""
        for folder, _, files in sorted(os.walk(self.path(name))):
            for file in sorted(files):
                self.keep_file(os.path.relpath(os.path.join(folder, file), self.work_dir))

    def run(self, name, argv, status=0, stdin=b"", normalise=None, env=None, cwd=None):
        """Runs a command to its end and keeps its outputs under `name`; returns its stdout.

        normalise: bytes -> bytes, applied to stdout and stderr before they are kept, for what the
        program itself makes different from run to run (durations).
        """
        self.check_preloaded(argv[0])
        process = subprocess.Popen(
            argv, env=dict(self.env, **(env or {})), cwd=cwd or self.work_dir,
            stdin=subprocess.PIPE if isinstance(stdin, bytes) else stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        try:
            out, err = process.communicate(
                stdin if isinstance(stdin, bytes) else None, timeout=COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise Failure(f"{name} did not end in {COMMAND_TIMEOUT_S} s\n"
                          + (out + err)[-4000:].decode(errors="replace"))
        self.check_messages(name, out + b"\n" + err)
        if process.returncode < 0 or (status is not None and process.returncode != status):
            raise Failure(f"{name} ended with status {process.returncode}, not {status}\n"
                          + (out + err)[-4000:].decode(errors="replace"))
        change = normalise or (lambda data: data)
        self.keep(f"{name} stdout", change(out))
        self.keep(f"{name} stderr", change(err))
        self.keep(f"{name} status", str(process.returncode))
        return out

    def start(self, argv, log, env=None):
        """Starts a server that stop() ends; its stdout and stderr go to the file `log`."""
        self.check_preloaded(argv[0])
        with open(self.path(log), "wb") as file:
            return subprocess.Popen(
                argv, env=dict(self.env, **(env or {})), cwd=self.work_dir,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent)

    def stop(self, process, log, signal_number=signal.SIGTERM, status=0):
        """Ends a server by its pid, or waits for it if it ends by itself (signal_number None)."""
        if signal_number is not None and process.poll() is None:
            process.send_signal(signal_number)
        try:
            process.wait(timeout=300)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failure(f"{process.args[0]} did not end in 300 s")
        with open(self.path(log), "rb") as file:
            text = file.read()
        self.check_messages(log, text)
        if process.returncode != status:
            raise Failure(f"{process.args[0]} ended with status {process.returncode}\n"
                          + text[-4000:].decode(errors="replace"))

    def check_messages(self, name, text):
        found = MESSAGE.search(text)
        if found:
            raise Failure(f"{name}: a message: {found.group().decode(errors='replace')}")

    def check_preloaded(self, program):
        """Asks the dynamic linker whether a run of `program` maps the library."""
        if not self.library or program in self._checked:
            return
        self._checked.add(program)
        path = shutil.which(program, path=self.env["PATH"])
        if not path:
            return  # running it will say so
        with open(path, "rb") as file:
            if file.read(4) != b"\x7fELF":
                return  # a script: its interpreter inherits the environment
        listed = subprocess.run([path], env=dict(self.env, LD_TRACE_LOADED_OBJECTS="1"),
                                capture_output=True, check=False)
        if self.library.encode() not in listed.stdout or listed.stderr:
            raise Failure(f"{self.library} is not loaded into {path}\n"
                          + listed.stderr.decode(errors="replace"))


def describe_difference(name, without, with_):
    """One difference as text: a unified diff where both are text, else the first unequal byte."""
    try:
        lines = list(difflib.unified_diff(
            without.decode().splitlines(), with_.decode().splitlines(),
            "without", "with", lineterm="", n=1))
        if lines and len(without) + len(with_) < 4 << 20:
            return f"{name} differs:\n" + "\n".join(lines[:60])
    except UnicodeDecodeError:
        pass
    at = next((i for i, (a, b) in enumerate(zip(without, with_)) if a != b),
              min(len(without), len(with_)))
    return f"{name} differs at byte {at} ({len(without)} and {len(with_)} bytes)"


def compare(without, with_):
    """Every difference between what two passes kept, as texts."""
    found = []
    for name in sorted(without.keys() | with_.keys()):
        if name not in with_ or name not in without:
            found.append(f"{name} is left by one pass only")
        elif without[name] != with_[name]:
            found.append(describe_difference(name, without[name], with_[name]))
    return found


def run_both(scenario, library, make_inputs=None, long=False):
    """Runs the scenario without and with the library; returns the differences (empty: equal).

    Raises Failure when a pass cannot be carried through.
    """
    library = os.path.realpath(library)
    if not os.path.exists(library):
        raise Failure(f"no such library: {library}")
    with tempfile.TemporaryDirectory(prefix="ream-program-", ignore_cleanup_errors=True) as top:
        inputs = os.path.join(top, "inputs")
        os.mkdir(inputs)
        if make_inputs:
            make_inputs(inputs)
        kept = []
        for preload in (None, library):
            work_dir = os.path.join(top, "work")
            os.mkdir(work_dir)
            this = Pass(preload, work_dir, inputs, long)
            try:
                scenario(this)
            except Failure as failure:
                which = "with" if preload else "without"
                raise Failure(f"in the pass {which} the library: {failure}") from None
            kept.append(this.kept)
            shutil.rmtree(work_dir)
        if not kept[0]:
            raise Failure("the scenario kept nothing to compare")
        return compare(*kept)


def main(scenario, make_inputs=None, needs=()):
    """The body of a test script: reads the arguments, runs both passes, reports, exits."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--lib", required=True, help="the library to preload")
    parser.add_argument("--long", action="store_true", help="the longer form")
    options = parser.parse_args()
    # An end from outside must leave no folder and no server behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    missing = [name for name in needs if not shutil.which(name, path=FIXED_ENV["PATH"])]
    if missing:
        print(f"not installed: {' '.join(missing)} (tests/programs/packages.txt lists what to get)")
        sys.exit(1)
    try:
        differences = run_both(scenario, options.lib, make_inputs, options.long)
    except Failure as failure:
        differences = [str(failure)]
    for text in differences:
        print(text)
    print("FAIL" if differences else "equal with and without")
    sys.exit(1 if differences else 0)
