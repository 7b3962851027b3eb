#!/usr/bin/python3
"""A process whose main thread has ended ends after the last of the program's threads: ream's own does
not keep it."""

import child

CASES = [{}, {"REAM_WORKER": "off"}]


def main():
    options = child.read_options(__doc__)
    errors = []
    for env in CASES:
        done = child.run(options, ["main_ends"], env, timeout=60)
        if done.returncode != 0 or done.stdout != b"ok\n" or done.stderr != b"":
            errors.append(f"{env}: {child.describe(done)}")
    child.verdict(len(CASES), errors)


if __name__ == "__main__":
    main()
