#!/usr/bin/python3
"""Every wrong pointer to every function that takes one: the program ends with the right message.

The program `misuse` lists the cases. In each the library must end it by SIGABRT after exactly one
line on stderr, `ream: <what>: 0x<address>`, that tells what was done and the very address.
"""

import argparse
import concurrent.futures
import os
import signal
import subprocess
import sys

# (function, kind of pointer) -> what the message says
FREE = {"freed": "double free", "interior": "free of an interior pointer",
        "foreign": "free of a foreign pointer"}


def other(function):
    return {"freed": f"{function} of a freed pointer",
            "interior": f"{function} of an interior pointer",
            "foreign": f"{function} of a foreign pointer"}


WHAT = {"free": FREE, "delete": FREE, "realloc": other("realloc"), "realloc_zero": other("realloc"),
        "malloc_usable_size": other("malloc_usable_size")}

# real size, size said, whether it must die: only where the real block cannot hold the size said.
FREE_SIZED = [(100, 5000, True), (5000, 100000, True), (1 << 20, 2 << 20, True), (16, 17, True),
              (100, 100, False), (97, 112, False), (1 << 20, 1 << 20, False)]


def run(options, arguments):
    env = {"LD_PRELOAD": options.lib, "PATH": os.environ["PATH"]}
    return subprocess.run([options.program, *arguments], env=env, capture_output=True, timeout=300,
                          check=False)


def check_death(options, arguments, what):
    """Error text, or None."""
    done = run(options, arguments)
    lines = done.stdout.decode().split("\n")
    expected = f"ream: {what}: {lines[0]}\n"
    if done.returncode != -signal.SIGABRT or done.stderr.decode() != expected:
        return (f"{' '.join(arguments)}: expected SIGABRT and {expected!r}, got status "
                f"{done.returncode} and {done.stderr.decode()!r}")
    return None


def check_survival(options, arguments):
    done = run(options, arguments)
    if done.returncode != 0 or done.stderr or not done.stdout.endswith(b"survived\n"):
        return f"{' '.join(arguments)}: expected to survive, got {done}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lib", required=True)
    parser.add_argument("--program", required=True)
    options = parser.parse_args()
    listed = run(options, ["--list"]).stdout.decode().split("\n")
    cases = [line.split() for line in listed if line]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(check_death, options, case, WHAT[case[0]][case[1]]) for case in cases]
        for real, said, dies in FREE_SIZED:
            arguments = ["free_sized", str(real), str(said)]
            jobs.append(pool.submit(check_death, options, arguments, "free_sized with a wrong size")
                        if dies else pool.submit(check_survival, options, arguments))
        errors = [job.result() for job in jobs]
    wrong = [error for error in errors if error]
    print("\n".join(wrong))
    print(f"{len(errors)} cases, {len(wrong)} wrong")
    sys.exit(1 if wrong or len(cases) < 100 else 0)


if __name__ == "__main__":
    main()
