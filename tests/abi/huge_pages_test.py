#!/usr/bin/python3
"""The huge page mode of the C API: from the environment, set and read, in a child of fork, and what
the kernel hears of it."""

import child

# arguments, further environment, what is said on stderr
CASES = [
    (["modes"], {}, b""),
    (["advice"], {}, b""),
    (["fork"], {}, b""),
    (["environment", "0"], {}, b""),
    (["environment", "0"], {"REAM_HUGE_PAGES": "adaptive"}, b""),
    (["environment", "1"], {"REAM_HUGE_PAGES": "never"}, b""),
    (["environment", "2"], {"REAM_HUGE_PAGES": "always"}, b""),
    (["environment", "0"], {"REAM_HUGE_PAGES": "huge"},
     b'ream: bad value for REAM_HUGE_PAGES: "huge" ignored\n'),
]
LEFT_OUT = 77


def main():
    options = child.read_options(__doc__)
    errors = []
    for arguments, env, said in CASES:
        done = child.run(options, arguments, env=env)
        if done.returncode == LEFT_OUT:
            print(f"left out: {arguments}: no transparent huge pages on advice here")
        elif done.returncode != 0 or done.stdout != b"ok\n" or done.stderr != said:
            errors.append(f"{arguments} {env}: {child.describe(done)}")
    child.verdict(len(CASES), errors)


if __name__ == "__main__":
    main()
