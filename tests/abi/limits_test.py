#!/usr/bin/python3
"""A small program under `ulimit -v`: it runs, and out of memory it gets ENOMEM and recovers."""

import child

KILOBYTE = 1024
# mode, limit as `ulimit -v` takes it (kilobytes; None: no limit), expected status
CASES = [
    ("run", None, 0),
    ("run", 2000000, 0),
    ("run", 500000, 0),
    ("run", 200000, 0),
    ("exhaust", 2000000, 0),
    ("exhaust", 500000, 0),
    ("exhaust", 200000, 0),
    ("exhaust_small", 500000, 0),
    ("new", 500000, 0),
    ("data_limit", None, 0),
]


def main():
    options = child.read_options(__doc__)
    errors = []
    for mode, limit, status in CASES:
        done = child.run(options, [mode], address_space=limit and limit * KILOBYTE)
        if done.returncode != status or done.stdout != b"ok\n" or done.stderr:
            errors.append(f"{mode} under {limit}: {child.describe(done)}")
    child.verdict(len(CASES), errors)


if __name__ == "__main__":
    main()
