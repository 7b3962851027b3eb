"""One measured run, and many of them interleaved.

A run is a whole process (and its children). Rounds are interleaved: in each, every workload runs once
under every allocator, and the order of the allocators rotates from round to round, so a machine that
slows down or warms up meets all of them alike.
"""

import hashlib
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

RUN_TIMEOUT_S = 300


class RunFailed(Exception):
    """A run that gives no sample, with the reason."""


def base_environment():
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    environment.pop("LD_PRELOAD", None)
    return environment


def measure(launcher, library, argv, *, cwd, environment, stdin=None):
    """Runs argv to its end with `library` preloaded. Returns (sample, standard output).

    Raises RunFailed when it does not end well; text on stderr counts as well unless the workload has
    some without any allocator, which the caller compares.
    """
    with tempfile.TemporaryDirectory(prefix="ream-bench-") as folder:
        report = os.path.join(folder, "report.json")
        source = open(stdin, "rb") if stdin else subprocess.DEVNULL
        try:
            done = subprocess.run([launcher, report, library, *argv], cwd=cwd, env=environment,
                                  stdin=source, capture_output=True, timeout=RUN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise RunFailed(f"no end after {RUN_TIMEOUT_S} s") from None
        finally:
            if stdin:
                source.close()
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise RunFailed(f"status {done.returncode}{': ' + lines[-1] if lines else ''}")
        return read_report(report), done.stdout


def read_report(path):
    sample = json.loads(Path(path).read_text())
    sample["cpu_us"] = sample["user_us"] + sample["sys_us"]
    return sample


class OwnWorkload:
    """A workload of bench_workloads."""

    kind = "workload"

    def __init__(self, program, name, about, scale):
        self.name, self.about = name, about
        self.argv = [str(program), name, repr(scale)]

    def check(self, library, environment):
        pass

    def run(self, launcher, library, environment):
        """(sample, digest of what the run computed)"""
        sample, output = measure(launcher, library, self.argv, cwd=None, environment=environment)
        own = json.loads(output)
        for key in ("ops", "work_wall_ns", "work_cpu_ns", "end_rss_kib", "figures"):
            sample[key] = own[key]
        return sample, own["checksum"]


def digest(*parts):
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()[:16]


def interleave(workloads, allocators, rounds, launcher, progress):
    """Runs everything. Returns {workload: {allocator: {"samples": [...], "digest": ..., "error": ...}}}.

    An allocator under which a workload fails is not tried with it again. A digest that differs from
    glibc's is such a failure.
    """
    environment = base_environment()
    names = list(allocators)
    results = {workload.name: {name: {"samples": [], "digest": None, "error": None}
                               for name in names} for workload in workloads}
    for round_number in range(rounds):
        for position, workload in enumerate(workloads):
            turn = (round_number + position) % len(names)
            for name in names[turn:] + names[:turn]:
                cell = results[workload.name][name]
                if cell["error"]:
                    continue
                progress(round_number, workload.name, name)
                try:
                    if round_number == 0:
                        workload.check(allocators[name], environment)
                    sample, found = workload.run(launcher, allocators[name], environment)
                except RunFailed as failure:
                    cell["error"] = str(failure)
                    continue
                cell["samples"].append(sample)
                cell["digest"] = cell["digest"] or found
                if cell["digest"] != found:
                    cell["error"] = "not the same result in every round"
    for row in results.values():
        expected = row["glibc"]["digest"]
        for cell in row.values():
            if cell["digest"] and expected and cell["digest"] != expected:
                cell["error"] = "not the result that glibc gives"
    return results


def median(samples, key):
    return statistics.median(sample[key] for sample in samples)


def spread(samples, key):
    """(smallest, largest)"""
    values = [sample[key] for sample in samples]
    return min(values), max(values)
