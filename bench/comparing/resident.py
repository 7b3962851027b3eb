"""The command bench/resident: how resident memory follows live memory, allocator by allocator."""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from . import allocators, command, report, runs
from .command import progress_line
from .resident_figures import FIGURES

# Has a heap of 4 GiB: only at full size, or where it is asked for.
LARGE = "random_4g"


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="bench/resident",
        description="Measures how resident memory follows live memory under ream and its peers.")
    parser.add_argument("--rounds", type=int, default=3, metavar="N",
                        help="runs of each workload under each allocator (3)")
    parser.add_argument("--only", metavar="REGEX", help="only the workloads whose name matches")
    parser.add_argument("--allocators", metavar="LIST",
                        help="comma separated: ream, jemalloc, mimalloc, tcmalloc, tbb, name=path.so")
    parser.add_argument("--peer", action="extend", nargs="+", default=[], metavar="name=path.so",
                        help="allocators besides those")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X",
                        help=f"size of the heaps (1); {LARGE} is left out below 1 unless --only names it")
    parser.add_argument("--waits", type=float, default=1.0, metavar="X",
                        help="length of the waits (1); allocators pace themselves by the clock, so "
                             "figures of other lengths say something else")
    parser.add_argument("--json", metavar="FILE", help="writes the table and every line of every run")
    parser.add_argument("--list", action="store_true", help="names the workloads")
    parser.add_argument("--no-build", action="store_true", help="uses build/release as it is")
    parser.add_argument("--install", action="store_true",
                        help="first installs what bench/packages.txt names (Debian, root or sudo)")
    options = parser.parse_args(argv)
    if options.rounds < 1 or options.scale <= 0 or options.waits <= 0:
        parser.error("--rounds, --scale and --waits must be above zero")
    return options


def phases_of(output):
    """(run as resident_figures wants it, checksum)"""
    lines = [json.loads(line) for line in output.splitlines()]
    run = {line.pop("phase"): line for line in lines}
    return run, run.pop("end")["checksum"]


class ResidentWorkload:
    """A workload of bench_resident, as runs.interleave() wants it."""

    kind = "workload"

    def __init__(self, program, name, about, options):
        self.name, self.about = name, about
        self.argv = [str(program), name, repr(options.scale), repr(options.waits)]

    def check(self, library, environment):
        pass

    def run(self, launcher, library, environment):
        _, output = runs.measure(launcher, library, self.argv, cwd=None, environment=environment)
        return phases_of(output)


def find_workloads(program, options):
    listing = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    found = [ResidentWorkload(program, *line.split("\t"), options)
             for line in listing.stdout.splitlines()]
    wanted = re.compile(options.only or "")
    return [workload for workload in found if wanted.search(workload.name) and
            (workload.name != LARGE or options.scale >= 1 or options.only)]


def summary_of(figure, cell):
    """{"median", "min", "max"} over the rounds; None where there is no such figure."""
    if cell["error"] or not cell["samples"]:
        return None
    values = [figure.of(run) for run in cell["samples"]]
    if None in values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def rows_of(results):
    """A dict for each figure of the workloads that were run; one that nobody has is left out."""
    rows = []
    for figure in FIGURES:
        if figure.workload in results:
            values = {name: summary_of(figure, cell)
                      for name, cell in results[figure.workload].items()}
            if any(values.values()):
                rows.append({"workload": figure.workload, "figure": figure.name, "unit": figure.unit,
                             "values": values})
    return rows


def show(summary):
    """Three digits that count, or all before the point."""
    if summary is None:
        return "-"
    value = summary["median"]
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def table(rows, names):
    title = {id(row): row["figure"] + (f", {row['unit']}" if row["unit"] else "") for row in rows}
    width = max(map(len, title.values()), default=0) + 2
    lines = [" " * width + "".join(f"{name:>12}" for name in names)]
    workload = None
    for row in rows:
        if row["workload"] != workload:
            workload = row["workload"]
            lines += ["", workload]
        cells = "".join(f"{show(row['values'][name]):>12}" for name in names)
        lines.append(f"  {title[id(row)]:<{width - 2}}{cells}")
    return "\n".join(lines)


def write_json(path, *, options, chosen, before, rows, results):
    document = {"format": 1, "ream": report.tree_version(command.ROOT), "machine": before,
                "rounds": options.rounds, "scale": options.scale, "waits": options.waits,
                "allocators": chosen, "figures": rows, "runs": results}
    Path(path).write_text(json.dumps(document, indent=1) + "\n")


def measure(options, program, launcher, ream):
    workloads = find_workloads(program, options)
    if options.list:
        for workload in workloads:
            print(f"{workload.name:<12} {workload.about}")
        return 0
    if not workloads:
        raise SystemExit(f"resident: no workload matches {options.only!r}")
    chosen, absent = allocators.choose(options.allocators, ream, options.peer)
    for what in absent:
        print(f"not here, left out: {what}", file=command.sys.stderr)
    before = report.machine()
    results = runs.interleave(
        workloads, chosen, options.rounds, launcher,
        lambda number, name, allocator: progress_line(
            f"round {number + 1} of {options.rounds}: {name} on {allocator}"))
    progress_line("")
    rows = rows_of(results)
    print(f"\n{before['cpu']}, {before['cores']} cores, Linux {before['kernel']}, ream "
          f"{report.tree_version(command.ROOT)}, {options.rounds} rounds, scale {options.scale:g}")
    print("Medians. RSS is without the benchmark's own notes. CPU time is that of all threads.\n")
    print(table(rows, chosen))
    if options.json:
        write_json(options.json, options=options, chosen=chosen, before=before, rows=rows,
                   results=results)
    failed = report.failures(workloads, results)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def main(argv):
    options = arguments(argv)
    if options.install:
        command.install()
    if not options.no_build:
        command.build()
    with tempfile.TemporaryDirectory(prefix="ream-bench-") as folder:
        return measure(options, *command.snapshot(Path(folder), "bench_resident"))
