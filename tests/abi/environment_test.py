#!/usr/bin/python3
"""REAM_ variables: unknown names and bad values are named on stderr once each, and ignored."""

import child

# environment, the lines expected on stderr
CASES = [
    ({}, []),
    ({"REAM_FOO": "1"}, ["ream: unknown option REAM_FOO ignored"]),
    ({"REAM_FOO": ""}, ["ream: unknown option REAM_FOO ignored"]),
    ({"REAM_": "x"}, ["ream: unknown option REAM_ ignored"]),
    ({"REAM_FOO": "1", "REAM_BAR": "2"},
     ["ream: unknown option REAM_FOO ignored", "ream: unknown option REAM_BAR ignored"]),
    ({"REAM_RETAIN": "8M"}, []),
    ({"REAM_RETAIN": "0"}, []),
    ({"REAM_RETAIN": "y"}, ['ream: bad value for REAM_RETAIN: "y" ignored']),
    ({"REAM_RETAIN": ""}, ['ream: bad value for REAM_RETAIN: "" ignored']),
    ({"REAM_RETAIN": "-1"}, ['ream: bad value for REAM_RETAIN: "-1" ignored']),
    ({"REAM_RETAIN": "4MB"}, ['ream: bad value for REAM_RETAIN: "4MB" ignored']),
    ({"REAM_RETAIN": "99999999999999999999"},
     ['ream: bad value for REAM_RETAIN: "99999999999999999999" ignored']),
    ({"REAM_RETAIN": "y", "REAM_FOO": "1"},
     ['ream: bad value for REAM_RETAIN: "y" ignored', "ream: unknown option REAM_FOO ignored"]),
    # Names that only resemble.
    ({"REAMS": "1", "ream_foo": "1", "XREAM_FOO": "1", "REAM": "1"}, []),
]


def main():
    options = child.read_options(__doc__)
    errors = []
    for env, expected in CASES:
        done = child.run(options, ["run"], env)
        lines = done.stderr.decode().splitlines()
        if done.returncode != 0 or done.stdout != b"ok\n" or sorted(lines) != sorted(expected):
            errors.append(f"{env}: expected {expected}, got {child.describe(done)}")
    # A value of any length is handled; how much of it is shown is the library's affair.
    for env in ({"REAM_RETAIN": "z" * 5000}, {"REAM_" + "N" * 5000: "1"}):
        done = child.run(options, ["run"], env)
        lines = done.stderr.decode().splitlines()
        if done.returncode != 0 or len(lines) != 1 or not lines[0].startswith("ream: "):
            errors.append(f"a long variable: {child.describe(done)}")
    child.verdict(len(CASES) + 2, errors)


if __name__ == "__main__":
    main()
