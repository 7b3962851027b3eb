#!/usr/bin/python3
"""The huge page mode of the C API: from the environment, set and read, in a child of fork, and what
the kernel hears of it. For the pool of huge pages the machine's is made larger for a moment, where
that is allowed; else a line says that it was left out."""

import pathlib

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
    (["environment", "3"], {"REAM_HUGE_PAGES": "explicit"}, b""),
    (["environment", "0"], {"REAM_HUGE_PAGES": "huge"},
     b'ream: bad value for REAM_HUGE_PAGES: "huge" ignored\n'),
]
LEFT_OUT = 77


EXPLICIT = {"REAM_HUGE_PAGES": "explicit"}
# pages of 2 MiB that the pool is to have free, arguments, further environment
POOL_CASES = [
    (40, ["pool"], EXPLICIT),
    (40, ["pool"], {**EXPLICIT, "REAM_WORKER": "off"}),
    (0, ["pool_short"], EXPLICIT),
    (3, ["pool_short"], EXPLICIT),
    (9, ["pool_short"], EXPLICIT),
    (40, ["pool_fork"], EXPLICIT),
]
POOL = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")


def pool_figure(name):
    return int((POOL / name).read_text())


def set_pool(pages):
    """Whether the machine's pool has so many pages now, all free."""
    try:
        (POOL / "nr_hugepages").write_text(str(pages))
        return (pool_figure("nr_hugepages") == pages and pool_figure("free_hugepages") == pages
                and pool_figure("resv_hugepages") == 0)
    except OSError:
        return False


def run_on_pool(options, errors):
    try:
        before = pool_figure("nr_hugepages")
    except OSError:
        print("left out: this system has no pool of 2 MiB pages")
        return
    try:
        for pages, arguments, env in POOL_CASES:
            if not set_pool(pages):
                print(f"left out: {arguments} with {pages} pages: the pool cannot be made so")
                continue
            done = child.run(options, arguments, env=env)
            if done.returncode != 0 or done.stdout != b"ok\n" or done.stderr:
                errors.append(f"{arguments} {env}, {pages} pages: {child.describe(done)}")
            if pool_figure("free_hugepages") != pages:
                errors.append(f"{arguments} {env}: pages of the pool are lost")
    finally:
        set_pool(before)


def main():
    options = child.read_options(__doc__)
    errors = []
    for arguments, env, said in CASES:
        done = child.run(options, arguments, env=env)
        if done.returncode == LEFT_OUT:
            print(f"left out: {arguments}: no transparent huge pages on advice here")
        elif done.returncode != 0 or done.stdout != b"ok\n" or done.stderr != said:
            errors.append(f"{arguments} {env}: {child.describe(done)}")
    run_on_pool(options, errors)
    child.verdict(len(CASES) + len(POOL_CASES), errors)


if __name__ == "__main__":
    main()
