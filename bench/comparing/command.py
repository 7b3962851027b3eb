"""The command: arguments, building, and the order of things."""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import allocators, chart, instructions, micro, programs, report, runs

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "release"


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="bench/compare", description="Runs ream beside the allocators that Debian ships.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N",
                        help="runs of each workload under each allocator (5)")
    parser.add_argument("--only", metavar="REGEX", help="only the workloads whose name matches")
    parser.add_argument("--allocators", metavar="LIST",
                        help="comma separated: ream, jemalloc, mimalloc, tcmalloc, tbb, name=path.so")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X",
                        help="length of the workloads of our own (1)")
    parser.add_argument("--json", metavar="FILE", help="writes every sample")
    parser.add_argument("--chart", metavar="FILE.svg", help="draws the table")
    parser.add_argument("--micro", action="store_true",
                        help="single pairs of malloc and free by size instead of the workloads")
    parser.add_argument("--instructions", action="store_true",
                        help="also counts instructions of the workloads of our own (slow)")
    parser.add_argument("--list", action="store_true", help="names the workloads")
    parser.add_argument("--no-build", action="store_true", help="uses build/release as it is")
    parser.add_argument("--install", action="store_true",
                        help="first installs what bench/packages.txt names (Debian, root or sudo)")
    options = parser.parse_args(argv)
    if options.rounds < 1 or options.scale <= 0:
        parser.error("--rounds and --scale must be above zero")
    return options


def run_logged(log, *argv):
    done = subprocess.run(argv, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    return done.returncode == 0


def install():
    script = '. scripts/packages.sh; mapfile -t names < <(packages_in bench/packages.txt); ' \
             'need_packages "${names[@]}"'
    if subprocess.run(["bash", "-c", script], cwd=ROOT).returncode != 0:
        raise SystemExit("could not install all of bench/packages.txt")


def build(target="bench"):
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / "bench-build.log"
    with open(path, "w") as log:
        built = run_logged(log, "cmake", "--preset", "release") and run_logged(
            log, "cmake", "--build", str(BUILD), "--target", target)
    if not built:
        tail = path.read_text().splitlines()[-20:]
        raise SystemExit("\n".join([*tail, f"the build failed; all of it is in {path}"]))


def find_workloads(program, data, options):
    """(workloads of our own and programs that match, programs that are not installed or cannot run)"""
    listing = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    own = [runs.OwnWorkload(program, *line.split("\t"), options.scale)
           for line in listing.stdout.splitlines()]
    real = [program(data) for program in programs.PROGRAMS]
    wanted = re.compile(options.only or "")
    chosen = [workload for workload in own + real if wanted.search(workload.name)]
    missing = [w for w in chosen if w.kind == "program" and not w.available()]
    return [workload for workload in chosen if workload not in missing], missing


def progress_line(text):
    """Shows what is running, on a terminal only."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        print("\r" + text[:width].ljust(width), end="", file=sys.stderr, flush=True)


def run_micro(options, program, chosen):
    rows = micro.measure(program, chosen, options.rounds, lambda text: progress_line(f"micro: {text}"))
    progress_line("")
    print("\n" + micro.table(rows, chosen))
    if options.json:
        document = {"format": 1, "ream": report.tree_version(ROOT), "machine": report.machine(),
                    "allocators": chosen, "pairs": rows}
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    return 0


def snapshot(folder, program):
    """Copies what is measured out of the build, so that building again meanwhile changes nothing.
    Returns the paths of (`program`, launcher, libream.so); the last need not exist."""
    folder.chmod(0o755)  # a program that does not run as root has to read the library too
    copies = []
    for name in (program, "bench_launch", "libream.so"):
        copy = folder / name
        if (BUILD / name).exists():
            shutil.copy2(BUILD / name, copy)
        copies.append(copy)
    return copies


def main(argv):
    options = arguments(argv)
    if options.install:
        install()
    if not options.no_build:
        build()
    with tempfile.TemporaryDirectory(prefix="ream-bench-") as folder:
        return compare(options, *snapshot(Path(folder), "bench_workloads"))


def prepared(program):
    """Whether the program has its inputs; else it is named, with the reason."""
    try:
        program.prepare()
    except (subprocess.CalledProcessError, OSError) as failure:
        print(f"left out: {program.name}: {failure}", file=sys.stderr)
        return False
    return True


def compare(options, program, launcher, ream):
    data = BUILD / "bench-data"
    data.mkdir(exist_ok=True)
    workloads, missing = find_workloads(program, data, options)
    if options.list:
        for workload in workloads:
            print(f"{workload.name:<20} {workload.about}")
        return 0
    chosen, absent = allocators.choose(options.allocators, ream)
    for what in [*absent, *(workload.name for workload in missing)]:
        print(f"not here, left out: {what}", file=sys.stderr)
    if options.micro:
        return run_micro(options, program, chosen)
    if not workloads:
        raise SystemExit(f"compare: no workload matches {options.only!r}")

    before = report.machine()
    workloads = [workload for workload in workloads if workload.kind != "program" or prepared(workload)]
    results = runs.interleave(
        workloads, chosen, options.rounds, launcher,
        lambda number, name, allocator: progress_line(
            f"round {number + 1} of {options.rounds}: {name} on {allocator}"))
    counts = {}
    if options.instructions:
        counts = instructions.count(workloads, chosen,
                                    lambda name: progress_line(f"counting instructions: {name}"))
    progress_line("")
    print(f"\n{before['cpu']}, {before['cores']} cores, Linux {before['kernel']}, ream "
          f"{report.tree_version(ROOT)}, {options.rounds} rounds")
    print("CPU time and peak RSS as parts of glibc's; below 1 is better. spread: the widest range of "
          "CPU time in a row.\n")
    print(report.table(workloads, results, chosen))
    if figures := report.figure_table(workloads, results, chosen):
        print("\n" + figures)
    if counts:
        print("\n" + instructions.table(counts, chosen))
    if options.json:
        report.write_json(options.json, root=ROOT, allocators=chosen, rounds=options.rounds,
                          before=before, workloads=workloads, results=results, instructions=counts)
    if options.chart:
        Path(options.chart).write_text(chart.draw(workloads, results, chosen))
    failed = report.failures(workloads, results)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0
