#!/usr/bin/env python3
"""What malloc and its like execute when the thread's cache can serve them, counted.

    fast_path.py --record            build/release is brought up to date, its counts become the golden ones
                                     and its instructions those of docs/fast-path.md
    fast_path.py                     the counts of build/release/libream.so
    fast_path.py --lib LIBRARY       those of another allocator, or of libc.so.6
    fast_path.py --list 'free(16)'   the instructions of one path, and what they access

  instructions  all that the shortest of a few calls executed, the ret among them
  loads stores  operands in memory; one that is read and written counts as both; push and pop count
  branches      conditional ones
  taken         jumps of any kind that were followed
  calls         of functions, of the library or not. What libc executes in memset and its like is not
                counted, unless libc is the allocator: it differs between processors
"""

import argparse
import pathlib
import subprocess
import sys

import annotated
import stepped

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = pathlib.Path(__file__).resolve().parent / "fast_path.golden"
DOCUMENT = ROOT / "docs/fast-path.md"
COMPILER = "# compiler: "
COLUMNS = ("instructions", "loads", "stores", "branches", "taken", "calls")


def count(path):
    """The row of one path."""
    def total(value):
        return sum(value(step) for step in path.executed)
    return {"instructions": len(path.executed),
            "loads": total(lambda step: len(step.instruction.loads)),
            "stores": total(lambda step: len(step.instruction.stores)),
            "branches": total(lambda step: step.instruction.is_branch),
            "taken": total(lambda step: step.taken),
            "calls": total(lambda step: step.instruction.is_call)}


def table(rows):
    width = max(len(path) for path in rows)
    lines = [f"{'path':<{width}}" + "".join(f"  {column}" for column in COLUMNS)]
    for path, row in rows.items():
        cells = (f"  {row[column]:>{len(column)}}" for column in COLUMNS)
        lines.append(f"{path:<{width}}" + "".join(cells))
    return "\n".join(lines) + "\n"


def golden_text(compiler, rows):
    return ("# What malloc and its like execute when the thread's cache can serve them. Written by\n"
            f"# `tests/abi/fast_path.py --record`.\n{COMPILER}{compiler}\n{table(rows)}")


def read_golden(text):
    """(compiler, path -> row)"""
    lines = [line for line in text.splitlines() if line]
    compiler = next(line.removeprefix(COMPILER) for line in lines if line.startswith(COMPILER))
    rows = {}
    for line in [line for line in lines if not line.startswith("#")][1:]:
        path, *cells = line.rsplit(None, len(COLUMNS))
        rows[path] = dict(zip(COLUMNS, (int(cell) for cell in cells)))
    return compiler, rows


def renewed_document(text, paths):
    return annotated.renewed(
        text, lambda name: [annotated.shown(step.instruction) for step in paths[name].executed])


def record(compiler, paths):
    GOLDEN.write_text(golden_text(compiler, {name: count(path) for name, path in paths.items()}))
    document = renewed_document(DOCUMENT.read_text(), paths)
    DOCUMENT.write_text(document)
    for name, instruction in annotated.wordless(document):
        print(f"{DOCUMENT.relative_to(ROOT)}: {name}: say what `{instruction}` is for")


def listing(path):
    lines = []
    for step in path.executed:
        accesses = [f"{kind[:-1]} {address:#x}{' of the object' if path.holds(address) else ''}"
                    for kind in ("loads", "stores") for address in step.addresses(kind)]
        flow = "taken" if step.taken else ""
        lines.append(f"{step.address:8x}  {step.instruction.text:<38} {flow:<5}  {', '.join(accesses)}".rstrip())
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", default=ROOT / "build/release/libream.so")
    parser.add_argument("--program", default=ROOT / "build/release/tests/fast_path")
    parser.add_argument("--list", metavar="PATH")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    if options.record:
        subprocess.run(["cmake", "--build", "--preset", "release", "--target", "ream_shared", "fast_path"],
                       cwd=ROOT, check=True)
    try:
        compiler, paths = stepped.observe(options.lib, options.program)
    except stepped.NoSteps:
        sys.exit("the processor's trap flag does nothing here")
    if options.list:
        if options.list not in paths:
            sys.exit(f"no path {options.list!r}; there are: {', '.join(paths)}")
        print(listing(paths[options.list]), end="")
        return
    if options.record:
        record(compiler, paths)
    print(table({name: count(path) for name, path in paths.items()}), end="")


if __name__ == "__main__":
    main()
