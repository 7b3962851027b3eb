"""What the tests of child programs share: arguments, a preloaded run, the verdict."""

import argparse
import os
import resource
import subprocess
import sys


def read_options(doc):
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--lib", required=True)
    parser.add_argument("--program", required=True)
    return parser.parse_args()


def run(options, arguments, env=None, address_space=None, timeout=600):
    """Runs the program with a bare environment, under RLIMIT_AS if given; returns the result."""
    def limit():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if address_space:
            resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    # The limit is set between fork and exec, so the child has it from its first instruction on.
    return subprocess.run(
        [options.program, *arguments], capture_output=True, timeout=timeout, check=False,
        preexec_fn=limit,
        env={"PATH": os.environ["PATH"], "LD_PRELOAD": options.lib, **(env or {})})


def describe(done):
    return f"status {done.returncode}, stdout {done.stdout!r}, stderr {done.stderr[:2000]!r}"


def verdict(count, errors):
    print("\n".join(errors))
    print(f"{count} cases, {len(errors)} wrong")
    sys.exit(1 if errors or count == 0 else 0)
