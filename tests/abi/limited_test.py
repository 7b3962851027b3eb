#!/usr/bin/python3
"""Programs under a memory limit: their resident set stays within the bound, refusals are ENOMEM (in
Python, MemoryError) and the program goes on. Where a control group of version 2 can be made inside the
own one, a program is also held to that group's memory.peak; elsewhere a line says that this was left
out."""

import os
import pathlib
import subprocess

import child

MIB = 1 << 20
NO_WORKER = {"REAM_WORKER": "off"}
# arguments, further environment
CASES = [
    (["below"], {}),
    (["fork"], {}),
    (["refused", "64"], {}),
    (["refused", "64"], NO_WORKER),
    (["reenter", "64"], {}),
    (["reenter", "8"], {}),
    (["threads", "64"], {}),
    (["threads", "64"], NO_WORKER),
    (["soft", "128"], {}),
    (["soft_alone", "128"], NO_WORKER),
    (["cache", "64", "300"], NO_WORKER),
    (["cache", "512", "1800"], {}),
]

# value of REAM_MEMORY_LIMIT, soft, hard, or None where it is bad
VALUES = [
    ("512M", 448 * MIB, 512 * MIB),
    ("soft=100M,hard=1G", 100 * MIB, 1024 * MIB),
    ("soft=100M", 100 * MIB, 0),
    ("hard=100M", 0, 100 * MIB),
    ("lots", None, None),
    ("soft=2G,hard=1G", None, None),
]

PYTHON = """
kept = []
try:
    while len(kept) < 2000:
        kept.append(bytearray(100_000))
except MemoryError:
    pass
n = len(kept)
assert 300 < n < 1000, n
del kept[::2]
kept += [bytearray(100_000) for _ in range(n // 3)]
small = []
try:
    while len(small) < 1_000_000:
        small.append([len(small)] * 20)
except MemoryError:
    assert 10_000 < len(small) < 1_000_000
else:
    assert False
del small
del kept
text = "x" * 50_000_000
assert len(text) == 50_000_000
print("ok")
"""


def run_program(options, arguments, env, errors):
    done = child.run(options, arguments, env=env)
    lines = done.stdout.decode().splitlines()
    if done.returncode != 0 or lines[-1:] != ["ok"] or done.stderr:
        errors.append(f"{arguments} {env}: {child.describe(done)}")
    for line in lines[:-1]:
        print(*arguments, *env, line)


def run_values(options, errors):
    for value, soft, hard in VALUES:
        done = child.run(options, ["environment", str(soft or 0), str(hard or 0)],
                         env={"REAM_MEMORY_LIMIT": value})
        said = b"" if soft is not None else (
            f'ream: bad value for REAM_MEMORY_LIMIT: "{value}" ignored\n'.encode())
        if done.returncode != 0 or done.stderr != said:
            errors.append(f"REAM_MEMORY_LIMIT={value}: {child.describe(done)}")


def run_python(options, errors):
    done = subprocess.run(
        ["/usr/bin/python3", "-c", PYTHON], capture_output=True, timeout=600, check=False,
        env={"PATH": os.environ["PATH"], "LD_PRELOAD": os.path.abspath(options.lib),
             "REAM_MEMORY_LIMIT": "80M",
             "PYTHONMALLOC": "malloc"})
    if done.returncode != 0 or done.stdout != b"ok\n" or done.stderr:
        errors.append(f"python: {child.describe(done)}")


def make_group():
    """A control group of version 2 with memory inside the own one, or why there is none."""
    try:
        own = next(line for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines()
                   if line.startswith("0::")).removeprefix("0::")
        parent = pathlib.Path("/sys/fs/cgroup" + own)
        if "memory" not in (parent / "cgroup.subtree_control").read_text().split():
            return None, "the own group hands no memory on"
        group = parent / f"ream-test-{os.getpid()}"
        group.mkdir()
    except (OSError, StopIteration) as error:
        return None, str(error) or "no control group of version 2"
    return group, None


def run_in_group(options, errors):
    """The group's limit is taken over by `auto`, and its peak stays below what the program had before
    plus the limit that the program sets."""
    group, why = make_group()
    if group is None:
        print(f"left out: memory.peak of a control group: {why}")
        return 0
    try:
        (group / "memory.max").write_text(str(1024 * MIB))

        def enter():
            (group / "cgroup.procs").write_text(str(os.getpid()))
        for arguments, env in ((["environment", str(896 * MIB), str(1024 * MIB)],
                                {"REAM_MEMORY_LIMIT": "auto"}),
                               (["cache", "512", "1800"], {})):
            done = subprocess.run(
                [options.program, *arguments], capture_output=True, timeout=600, check=False,
                preexec_fn=enter, env={"PATH": os.environ["PATH"], **env})
            if done.returncode != 0:
                errors.append(f"{arguments} in a control group: {child.describe(done)}")
        peak = int((group / "memory.peak").read_text())
        print(f"memory.peak {peak >> 10} KiB")
        if peak > (512 + 16) * MIB:  # page tables, the kernel's own memory, files read
            errors.append(f"memory.peak {peak >> 10} KiB")
    finally:
        group.rmdir()
    return 1


def main():
    options = child.read_options(__doc__)
    errors = []
    for arguments, env in CASES:
        run_program(options, arguments, env, errors)
    run_values(options, errors)
    run_python(options, errors)
    count = len(CASES) + len(VALUES) + 1 + run_in_group(options, errors)
    child.verdict(count, errors)


if __name__ == "__main__":
    main()
