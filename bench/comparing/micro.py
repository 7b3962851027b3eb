"""Single pairs of malloc and free: nanoseconds, and instructions where valgrind is there.

The time is the process's CPU time of a loop of pairs, less that of the same loop around two functions
that do nothing. Instructions are callgrind's count for a long loop less that for a short one, which
takes away start and end of the process and the first, cold allocations.
"""

import json
import re
import shutil
import statistics
import subprocess

from .runs import RUN_TIMEOUT_S, base_environment

SIZES = [16, 64, 256, 1 << 10, 4 << 10, 8 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20,
         2 << 20, 8 << 20]
TIMED_NS = 60_000_000  # of one timed loop
SHORT, LONG = 2000, 12000  # pairs of the two counted loops


def size_name(size):
    if size < 1 << 10:
        return f"{size} B"
    return f"{size >> 10} KiB" if size < 1 << 20 else f"{size >> 20} MiB"


def time_pairs(program, library, size, count):
    """CPU time in ns, or None when the run failed."""
    environment = {**base_environment(), "LD_PRELOAD": library}
    done = subprocess.run([str(program), "--pair", str(size), str(count)], env=environment,
                          capture_output=True, text=True)
    return json.loads(done.stdout)["work_cpu_ns"] if done.returncode == 0 else None


def nanoseconds(program, libraries, size, rounds):
    """{allocator: median ns per turn of the loop}"""
    counts = {}
    for name, library in libraries.items():
        trial = time_pairs(program, library, size, 20_000)
        counts[name] = max(20_000, int(TIMED_NS * 20_000 / trial)) if trial else 0
    samples = {name: [] for name in libraries}
    names = list(libraries)
    for round_number in range(rounds):
        turn = round_number % len(names)
        for name in names[turn:] + names[:turn]:
            spent = time_pairs(program, libraries[name], size, counts[name]) if counts[name] else None
            if spent is not None:
                samples[name].append(spent / counts[name])
    return {name: statistics.median(values) if values else None for name, values in samples.items()}


def callgrind(argv, library=None, *flags):
    """Instructions executed by all of the process (or what `flags` leave of it), or None."""
    environment = base_environment()
    if library:
        environment["LD_PRELOAD"] = library
    try:
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *flags,
                               *argv], env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None
    found = re.search(r"Collected : (\d+)", done.stderr)
    return int(found.group(1)) if done.returncode == 0 and found else None


def instructions(program, library, size):
    """Instructions per turn of the loop."""
    counts = [callgrind([str(program), "--pair", str(size), str(count)], library)
              for count in (SHORT, LONG)]
    return None if None in counts else (counts[1] - counts[0]) / (LONG - SHORT)


def less(value, loop):
    return None if value is None or loop is None else value - loop


def show(value):
    return "failed" if value is None else f"{value:.1f}"


def measure(program, libraries, rounds, progress):
    """[{"bytes", "ns": {allocator: ...}, "instructions": {...}}], the loop's own cost taken off."""
    counted = shutil.which("valgrind") is not None
    libc = {"glibc": libraries["glibc"]}
    progress("the empty loop")
    loop_ns = nanoseconds(program, libc, 0, rounds)["glibc"]
    loop_instructions = instructions(program, libc["glibc"], 0) if counted else None
    rows = []
    for size in SIZES:
        progress(size_name(size))
        spent = nanoseconds(program, libraries, size, rounds)
        row = {"bytes": size, "ns": {name: less(value, loop_ns) for name, value in spent.items()}}
        if counted:
            row["instructions"] = {
                name: less(instructions(program, library, size), loop_instructions)
                for name, library in libraries.items()}
        rows.append(row)
    return rows


def table(rows, allocators):
    lines = [f"{'':>8} " + " ".join(f"{name:>16}" for name in allocators),
             f"{'':>8} " + " ".join(f"{'ns / instr.':>16}" for _ in allocators)]
    for row in rows:
        cells = []
        for name in allocators:
            counted = row.get("instructions")
            text = show(row["ns"][name])
            if counted:
                text += f" / {show(counted[name])}"
            cells.append(f"{text:>16}")
        lines.append(f"{size_name(row['bytes']):>8} " + " ".join(cells))
    return "\n".join(lines)
