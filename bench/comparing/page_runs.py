"""Runs of the page layer's benchmarks: bench_pages, and the same mixes of Go's page allocator.

A mix is named as in bench_pages --benchmark_list_tests, without what Google Benchmark adds; Go's
benchmarks bear the same names (tests/oracle/oracle_test.go).
"""

import json
import os
import re
import subprocess
from pathlib import Path

from .micro import callgrind

ROOT = Path(__file__).resolve().parent.parent.parent
ORACLE = ROOT / "tests" / "oracle" / "run_oracle.sh"
COUNTED_OPS = 50_000  # when instructions are counted
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


class Failed(Exception):
    """A run that says nothing, with the reason."""


def in_bytes(text):
    number, unit = re.fullmatch(r"(\d+)\s*([KMGT]iB)", text).groups()
    return int(number) * UNITS[unit]


def heap_of(name):
    """The heap's size in bytes, or None where a mix has no heap. Go grows 64 GiB in steps."""
    found = re.search(r"/heap=(\w+)", name)
    if found:
        return in_bytes(found.group(1))
    return in_bytes("64GiB") if name.startswith("Grow/") else None


def without_heap(name):
    return re.sub(r"/heap=\w+", "", name)


def at_64mib(name):
    """The mix of the 64 MiB heap that one with `at=` is like; None for others."""
    if "/at=" not in name:
        return None
    return re.sub(r"/heap=\w+", "/heap=64MiB", re.sub(r"/at=\w+", "", name))


def has_state_checksum(name):
    """Whether the checksum is of the whole heap, which a larger one cannot share."""
    return name.startswith("FragFail2/")


def has_go(name):
    return "/at=" not in name and not name.startswith(("RandomPair/", "DependentLoad/"))


def list_mixes(program):
    """{mix: operations of a run}, in the program's order."""
    done = subprocess.run([program, "--benchmark_list_tests"], capture_output=True, text=True, check=True)
    split = (re.fullmatch(r"(.*)/iterations:(\d+)/manual_time", line) for line in done.stdout.splitlines())
    return {found.group(1): int(found.group(2)) for found in split}


def run_ream(program, names, ops):
    """{mix: its counters}: ns, wall_ns, csum, and others (bench/pages/main.cc)."""
    pattern = f"^({'|'.join(names)})/iterations"
    done = subprocess.run([program, f"--ops={ops}", f"--benchmark_filter={pattern}",
                           "--benchmark_format=json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"bench_pages: {done.stderr.strip() or done.returncode}")
    rows = json.loads(done.stdout)["benchmarks"]
    found = {row["name"].partition("/iterations:")[0]: row for row in rows}
    if missing := set(names) - set(found):
        raise Failed(f"bench_pages has no {sorted(missing)[0]}")
    return found


def build_go(binary):
    """Go's runtime with the oracle built in. False where there is no Go."""
    done = subprocess.run(["sh", str(ORACLE), "build", str(binary)], capture_output=True, text=True)
    return done.returncode == 0


def go_pattern(names):
    """Go matches a name part by part; what it runs besides `names` is dropped later."""
    parts = zip(*(name.split("/") for name in names))
    levels = ["|".join(dict.fromkeys(part)) for part in parts]
    return "/".join([f"^BenchmarkOracle({levels[0]})$", *(f"^({level})$" for level in levels[1:])])


def run_go(binary, names, ops, folder):
    """{mix: its metrics}: ns/op, cpu-ns/op, csum, and others."""
    path = Path(folder, "go.txt")
    environment = {**os.environ, "ORACLE_BIN": str(binary), "BENCHTIME": f"{ops}x"}
    done = subprocess.run(["sh", str(ORACLE), "bench", str(path), go_pattern(names)], env=environment,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"Go: {done.stderr.strip() or done.returncode}")
    found = {}
    for line in path.read_text().splitlines():
        if line.startswith("BenchmarkOracle"):
            name, _, *pairs = line.split()
            name = re.sub(r"-\d+$", "", name.removeprefix("BenchmarkOracle"))
            found[name] = {unit: float(value) for value, unit in zip(pairs[::2], pairs[1::2])}
    if missing := set(names) - set(found):
        raise Failed(f"Go has no {sorted(missing)[0]}")
    return {name: found[name] for name in names}


def groups(mixes):
    """Mixes of one kind and one number of operations, which one process runs: [(names, ops)]."""
    by_kind = {}
    for name, ops in mixes.items():
        by_kind.setdefault((name.partition("/")[0], name.count("/"), has_go(name), ops), []).append(name)
    return [(names, key[-1]) for key, names in by_kind.items()]


def interleave(program, go_binary, mixes, rounds, folder, progress):
    """Runs everything. Returns {mix: {"ream": [counters...], "go": [metrics...]}}. In a round each group
    runs on both sides, and who is first changes from round to round."""
    samples = {name: {"ream": [], "go": []} for name in mixes}
    for number in range(rounds):
        for names, ops in groups(mixes):
            sides = ["ream", "go"] if go_binary and has_go(names[0]) else ["ream"]
            for side in sides if number % 2 == 0 else reversed(sides):
                progress(f"round {number + 1} of {rounds}: {names[0].partition('/')[0]} on {side}")
                found = run_ream(program, names, ops) if side == "ream" else \
                    run_go(go_binary, names, ops, folder)
                for name in names:
                    samples[name][side].append(found[name])
    return samples


def checksum_faults(samples):
    """What differs, as lines of text."""
    faults = []
    for name, sides in samples.items():
        seen = {int(sample["csum"]) for side in sides.values() for sample in side if "csum" in sample}
        if len(seen) > 1:
            faults.append(f"{name}: not the same checksum everywhere: {sorted(seen)}")
        like = at_64mib(name)
        if like in samples and not has_state_checksum(name):
            if sides["ream"][0]["csum"] != samples[like]["ream"][0]["csum"]:
                faults.append(f"{name}: not the checksum of {like}")
    return faults


def count_instructions(program, name, half=""):
    """Of one operation, outside the kernel, by callgrind: only inside of timed() (bench/pages/meter.h),
    or of its part `alloc` or `free`. None where that is not possible."""
    part = {"": "*", "alloc": "(ream::bench::Part)1*", "free": "(ream::bench::Part)2*"}[half]
    argv = [str(program), f"--ops={COUNTED_OPS}", f"--benchmark_filter=^{name}/iterations"]
    count = callgrind(argv, None, f"--toggle-collect=*ream::bench::timed<{part}")
    ops = run_ream(program, [name], COUNTED_OPS)[name]["ops"]  # sometimes more than were asked for
    return None if count is None else count / ops
