#!/usr/bin/python3
"""Shows that the compare driver fails where it must: one scenario per way to differ."""

import argparse
import sys

import compare

# A shell script sees whether it runs preloaded; that makes it a program that misbehaves on demand.
SHELL = "/bin/sh"


def shell(script, status=0, files=()):
    def scenario(this):
        this.run("script", [SHELL, "-c", script], status=status)
        for name in files:
            this.keep_file(name)
    return scenario


PRELOADED = 'test -n "$LD_PRELOAD"'
# name, scenario, text the failure must hold (None: must be found equal)
CASES = [
    ("equal", shell("echo same; echo same >&2; echo same > f", files=["f"]), None),
    ("stdout", shell(f"{PRELOADED} && echo with || echo without"), "script stdout differs"),
    ("stderr", shell(f"{PRELOADED} && echo with >&2; true"), "script stderr differs"),
    ("one byte", shell(f"printf a; {PRELOADED} && printf '\\377' || printf '\\376'"),
     "differs at byte 1 (2 and 2 bytes)"),
    ("file", shell(f"echo 1 > f; {PRELOADED} && echo 2 >> f; true", files=["f"]), "file f differs"),
    ("status", shell(f"{PRELOADED} && exit 3; exit 0"), "status 3, not 0"),
    ("any status", shell(f"{PRELOADED} && exit 3; exit 0", status=None), "script status differs"),
    ("signal", shell(f"{PRELOADED} && kill -SEGV $$; true", status=None), "status -11"),
    ("message", shell("echo 'ream: something' >&2"), "a message: ream: something"),
    ("message, not at a line's start", shell("echo 'stream: flows, or ream: not' >&2"), None),
    ("nothing kept", lambda this: None, "kept nothing"),
    ("input path is equal in both", shell("pwd"), None),
]


def outcome(scenario, library):
    try:
        return "\n".join(compare.run_both(scenario, library)) or None
    except compare.Failure as failure:
        return str(failure)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lib", required=True)
    library = parser.parse_args().lib
    cases = [(name, scenario, library, expected) for name, scenario, expected in CASES]
    cases.append(("no library", CASES[0][1], "/nonexistent/libream.so", "no such library"))
    cases.append(("not a library", CASES[0][1], "/etc/passwd", "is not loaded into"))
    wrong = 0
    for name, scenario, lib, expected in cases:
        got = outcome(scenario, lib)
        if (got is None) != (expected is None) or (expected and expected not in got):
            wrong += 1
            print(f"{name}: expected {expected!r}, got {got!r}")
    print(f"{len(cases)} cases, {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
