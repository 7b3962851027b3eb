"""The command bench/pages/compare: the page layer beside Go's page allocator."""

import argparse
import json
import re
import shutil
import statistics
import tempfile
from pathlib import Path

from . import command, page_runs, report
from .command import progress_line
from .page_runs import COUNTED_OPS, Failed, heap_of, in_bytes

PROGRAM = command.BUILD / "bench_pages"
CHECKSUMS = page_runs.ROOT / "bench" / "pages" / "go_checksums.txt"

# ream's time over Go's: at most this.
GOALS = [
    (r"Churn1/", 0.20), (r"Split1/", 0.25), (r"Churn(Mixed|Large)/", 0.20), (r"FragFail2$", 0.02),
    (r"FragLast2$", 0.20), (r"FillDrain1$", 0.30), (r"Grow/step=4MiB$", 0.50),
    (r"Grow/step=16GiB$", 0.05), (r"Cache(Cycle|Refill)/", 0.30), (r"(Summarize|Find|Merge8)", 0.35),
]


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="bench/pages/compare", description="Runs ream's page layer beside Go's page allocator.")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each mix on both (3)")
    parser.add_argument("--only", metavar="REGEX", help="only the mixes whose name matches")
    parser.add_argument("--max-heap", type=in_bytes, metavar="SIZE",
                        help="only heaps up to this size, as 16GiB (Go has none above 256GiB)")
    parser.add_argument("--json", metavar="FILE", help="writes the table")
    parser.add_argument("--instructions", action="store_true",
                        help="also counts instructions, of the smallest heap of each mix, with valgrind "
                             "if the processor's counters cannot be read")
    parser.add_argument("--list", action="store_true", help="names the mixes")
    parser.add_argument("--no-build", action="store_true", help="uses build/release as it is")
    parser.add_argument("--install", action="store_true",
                        help="first installs what bench/packages.txt names (Debian, root or sudo)")
    parser.add_argument("--record", action="store_true",
                        help=f"writes {CHECKSUMS.relative_to(page_runs.ROOT)} from Go, and ends")
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error("--rounds must be above zero")
    return options


def smallest(names):
    """Of mixes that differ in the heap only, the one with the smallest."""
    least = {}
    for name in names:
        key = page_runs.without_heap(name)
        if key not in least or (heap_of(name) or 0) < (heap_of(least[key]) or 0):
            least[key] = name
    return list(least.values())


def record(go_binary, mixes, folder):
    names = smallest(filter(page_runs.has_go, mixes))
    lines = ["# Checksums that Go 1.19 computes; made by bench/pages/compare --record",
             "# mix, operations, checksum"]
    for group, ops in page_runs.groups({name: mixes[name] for name in names}):
        found = page_runs.run_go(go_binary, group, ops, folder)
        lines += [f"{name} {ops} {int(found[name]['csum'])}" for name in group]
    CHECKSUMS.write_text("\n".join(lines) + "\n")
    return 0


def goal_of(mix):
    return next((goal for pattern, goal in GOALS if re.match(pattern, mix)), None)


def row(name, heap, ream, go):
    """One line of the table. `ream` and `go` are samples in ns; `go` may be empty."""
    fields = {"mix": name, "heap_bytes": heap, "go_ns": None, "ream_ns": statistics.median(ream),
              "ratio": None, "goal": goal_of(name) if go else None, "met": None,
              "ream_min_ns": min(ream), "ream_max_ns": max(ream)}
    if go:
        fields["go_ns"] = statistics.median(go)
        fields["ratio"] = fields["ream_ns"] / fields["go_ns"]
        fields["go_min_ns"], fields["go_max_ns"] = min(go), max(go)
        fields["ratio_of_min"] = min(ream) / min(go)
        fields["met"] = None if fields["goal"] is None else fields["ratio"] <= fields["goal"]
    return fields


def halves(name):
    """The parts of a mix that have goals of their own; one without a name for most."""
    return ["alloc", "free"] if name.startswith("Split1/") else [""]


def rows_of(name, sides, instructions):
    """The rows of a mix, one for each half."""
    heap, mix = heap_of(name), page_runs.without_heap(name)
    rows = []
    for half in halves(name):
        suffix = f"_{half}" if half else ""
        ream = [sample["ns" + suffix] for sample in sides["ream"]]
        go = [go_cpu(sample, half) for sample in sides["go"]]
        fields = row(mix.replace("Split1/", f"Split1/{half}/"), heap, ream, go)
        counted = [sample["instructions" + suffix] for sample in sides["ream"]
                   if "instructions" + suffix in sample]
        if counted:
            fields["ream_instructions"] = statistics.median(counted)
        elif instructions.get((name, half)):
            fields["ream_instructions"] = instructions[name, half]
        rows.append(fields)
    return rows


def go_cpu(metrics, half):
    """CPU time of an operation. Those that are timed in two halves have no sum of their own."""
    if half:
        return metrics[f"cpu-ns/{half}"]
    return metrics.get("cpu-ns/op") or metrics["cpu-ns/alloc"] + metrics["cpu-ns/free"]


def size_text(heap):
    if heap is None:
        return ""
    unit = next(unit for unit in ("TiB", "GiB", "MiB") if heap >= page_runs.UNITS[unit])
    return f"{heap // page_runs.UNITS[unit]} {unit}"


def add_64mib(rows):
    """Adds to rows of large heaps with a small working set the ratio to the heap of that size."""
    small = {fields["mix"]: fields for fields in rows if fields["heap_bytes"] == in_bytes("64MiB")}
    for fields in rows:
        like = small.get(re.sub(r"/at=\w+", "", fields["mix"]))
        if "/at=" in fields["mix"] and like:
            fields["to_64mib"] = fields["ream_ns"] / like["ream_ns"]


def last_column(fields):
    if fields.get("to_64mib"):
        return f"{fields['to_64mib']:.2f} of 64 MiB"
    if fields["met"] is False:
        return f"SHORT of {fields['goal']}"
    return "" if fields["goal"] is None else f"goal {fields['goal']}"


def table(rows):
    counted = any("ream_instructions" in fields for fields in rows)
    width = max(len(fields["mix"]) for fields in rows)
    lines = [f"{'':<{width}} {'heap':>8} {'Go ns':>10} {'ream ns':>9} {'ratio':>6} {'spread':>7}"
             + (f" {'instr.':>7}" if counted else "")]
    for fields in rows:
        spread = (fields["ream_max_ns"] - fields["ream_min_ns"]) / fields["ream_ns"]
        line = (f"{fields['mix']:<{width}} {size_text(fields['heap_bytes']):>8} "
                f"{'-' if fields['go_ns'] is None else format(fields['go_ns'], '.1f'):>10} "
                f"{fields['ream_ns']:>9.1f} "
                f"{'-' if fields['ratio'] is None else format(fields['ratio'], '.3f'):>6} {spread:>6.0%} ")
        if counted:
            count = fields.get("ream_instructions")
            line += f" {'' if count is None else format(count, '.0f'):>7}"
        lines.append(f"{line} {last_column(fields)}".rstrip())
    return "\n".join(lines)


def pair_line(rows):
    """What a random pair costs in loads, where both were run."""
    found = {fields["mix"]: fields["ream_ns"] for fields in rows}
    if "RandomPair" not in found or "DependentLoad" not in found:
        return ""
    pair, load = found["RandomPair"], found["DependentLoad"]
    return (f"\nA pair of random pages among 2^26: {pair:.1f} ns, as much as {pair / load:.1f} dependent "
            f"loads of {load:.1f} ns from as much memory as its metadata.")


def main(argv):
    options = arguments(argv)
    if options.install:
        command.install()
    if not options.no_build:
        command.build("bench_pages")
    with tempfile.TemporaryDirectory(prefix="ream-bench-") as folder:
        program = Path(folder, "bench_pages")
        shutil.copy2(PROGRAM, program)  # building again meanwhile changes nothing
        return compare(options, program, folder)


def choose(mixes, options):
    wanted = re.compile(options.only or "")
    return {name: ops for name, ops in mixes.items() if wanted.search(name) and
            (options.max_heap is None or (heap_of(name) or 0) <= options.max_heap)}


def compare(options, program, folder):
    mixes = choose(page_runs.list_mixes(program), options)
    if not mixes:
        raise SystemExit(f"compare: no mix matches {options.only!r}")
    if options.list:
        print("\n".join(f"{ops:>9} {name}" for name, ops in mixes.items()))
        return 0
    before = report.machine()
    go_binary = Path(folder, "oracle.test")
    progress_line("building Go's runtime")
    if not page_runs.build_go(go_binary):
        go_binary = None
        print("no Go 1.19 here (packages golang-1.19-go and golang-1.19-src): ream alone")
    try:
        if options.record:
            if go_binary is None:
                return 1
            return record(go_binary, mixes, folder)
        samples = page_runs.interleave(program, go_binary, mixes, options.rounds, folder, progress_line)
        instructions = {}
        if options.instructions:
            for name in smallest(mixes):
                progress_line(f"counting instructions: {name}")
                for half in halves(name):
                    instructions[name, half] = page_runs.count_instructions(program, name, half)
    except Failed as failure:
        raise SystemExit(f"compare: {failure}") from None
    progress_line("")
    rows = [fields for name, sides in samples.items() for fields in rows_of(name, sides, instructions)]
    add_64mib(rows)
    print(f"\n{before['cpu']}, {before['cores']} cores, Linux {before['kernel']}, load "
          f"{before['load_before']:.1f}, ream {report.tree_version(page_runs.ROOT)}, {options.rounds} rounds")
    print("Medians of CPU time of an operation; ratio: ream's over Go's; spread: of ream's.\n")
    print(table(rows) + pair_line(rows))
    if instructions:
        print(f"Instructions by callgrind over {COUNTED_OPS} operations (AVX2 at most), smallest heaps only.")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")
    faults = page_runs.checksum_faults(samples)
    for fault in faults:
        print(f"compare: {fault}")
    return 1 if faults else 0
