#!/usr/bin/python3
"""The fast paths execute what fast_path.golden says, and keep to what was promised of them. The
instructions in docs/fast-path.md are theirs.

The golden table is of the release build by the compiler that it names. Of any other the test says so
and exits with status 77. Whoever changes a path on purpose records the table anew; the limits below
stay.
"""

import argparse
import sys

import fast_path
import stepped

HOW = """
If this is meant: `tests/abi/fast_path.py --record` renews the table and docs/fast-path.md; commit them with
the change. More of anything wants its reason in the commit message.
`tests/abi/fast_path.py --list 'free(16)'` shows a path's instructions."""

# The owner's paths, and how much each may do at most.
ALLOCATE = ("malloc", "new")
RELEASE = ("free", "delete", "sized delete")
SMALL_BYTES = 1024
LIMITS = {"allocate small": {"instructions": 20, "loads": 8, "stores": 2, "branches": 3, "taken": 0},
          "allocate": {"instructions": 34, "loads": 8, "stores": 2, "branches": 4, "taken": 2},
          "release": {"instructions": 46, "loads": 13, "stores": 5, "branches": 7, "taken": 0}}


def kind_of(name, size):
    """Which limits a path has; None if it is not the owner's."""
    function = name.partition("(")[0]
    if function in ALLOCATE:
        return "allocate small" if size <= SMALL_BYTES else "allocate"
    return "release" if function in RELEASE else None


def differences(golden, rows):
    found = [f"{name}: not in the table" for name in rows if name not in golden]
    found += [f"{name}: in the table alone" for name in golden if name not in rows]
    for name in rows:
        for column, value in rows[name].items():
            before = golden.get(name, rows[name])[column]
            if value != before:
                found.append(f"{name}: {column} {before} -> {value}")
    return found


def broken_limits(name, path):
    """What an owner's path does that none may: no more work than the limits, straight through one
    function of the library, without a lock, a slow instruction or the stack, and with the object itself
    neither read nor written; and no store to the data that threads share."""
    row = fast_path.count(path)
    limits = LIMITS[kind_of(name, path.bytes)]
    found = [f"{name}: {row[column]} {column}, more than {most}"
             for column, most in limits.items() if row[column] > most]
    seen = set()
    for step in path.executed:
        where = f"{name}: {step.address:x} {step.instruction.text}"
        if step.instruction.is_call:
            found.append(f"{where}: a call")
        if step.instruction.is_locked:
            found.append(f"{where}: locks the bus")
        if step.instruction.is_slow:
            found.append(f"{where}: a fence, a division or a system call")
        if step.address in seen:
            found.append(f"{where}: a second time")
        seen.add(step.address)
        if step.module is not path.executed[0].module:
            found.append(f"{where}: of {step.module.path}")
        stores = step.addresses("stores")
        for address in stores + step.addresses("loads"):
            if path.holds(address):
                found.append(f"{where}: touches the object")
            if step.registers["rsp"] - 4096 <= address < step.registers["rsp"] + 4096:
                found.append(f"{where}: touches the stack")
        for address in stores:
            if step.module.begin <= address < step.module.end:
                found.append(f"{where}: writes what threads share")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lib", required=True)
    parser.add_argument("--program", required=True)
    options = parser.parse_args()
    wanted, golden = fast_path.read_golden(fast_path.GOLDEN.read_text())
    try:
        compiler, paths = stepped.observe(options.lib, options.program)
    except stepped.NoSteps:
        print("skipped: the processor's trap flag does nothing here")
        sys.exit(77)
    if compiler != wanted:
        print(f"skipped: built by {compiler}; the table is of {wanted}")
        sys.exit(77)
    rows = {name: fast_path.count(path) for name, path in paths.items()}
    changed = differences(golden, rows)
    broken = []
    for name, path in paths.items():
        if kind_of(name, path.bytes):
            broken += broken_limits(name, path)
    document = fast_path.DOCUMENT.read_text()
    if document != fast_path.renewed_document(document, paths):
        changed.append("docs/fast-path.md: lists other instructions")
    print(fast_path.table(rows))
    if changed:
        print("\n".join(["Other than in tests/abi/fast_path.golden:", *changed]))
        print(HOW)
    if broken:
        print("\n".join(["\nNot allowed, whatever the table says:", *broken]))
    sys.exit(1 if changed or broken else 0)


if __name__ == "__main__":
    main()
