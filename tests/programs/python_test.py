#!/usr/bin/python3
"""python3: its own tests of json, re, collections, threading and asyncio, and sqlite3 by script.

Debian's package of the test suite leaves out test_sqlite3, so sqlite3_module.py stands in for it.
json, re and collections run a second time with PYTHONMALLOC=malloc, which sends every object to
malloc instead of Python's own small-object allocator.
"""

import os

import compare
import python_suite

SHORT_ASYNCIO = ["tasks", "futures", "locks", "queues", "streams", "threads", "unix_events"]
PURE = ["test_json", "test_re", "test_collections"]
HERE = os.path.dirname(os.path.abspath(__file__))


def scenario(this):
    asyncio = [f"test_asyncio.test_{part}" for part in SHORT_ASYNCIO]
    if this.long:
        asyncio = python_suite.installed_tests("test_asyncio/test_*")
    # The longest first.
    python_suite.run_suite(this, "suite", ["test_threading", *asyncio, *PURE], at_least=1500,
                           jobs=3)
    python_suite.run_suite(this, "suite on malloc", PURE, at_least=300,
                           env={"PYTHONMALLOC": "malloc"})
    for name, setting in (("own", "pymalloc"), ("libc", "malloc")):
        this.run(f"sqlite3 module, {name} objects",
                 [python_suite.PYTHON, os.path.join(HERE, "sqlite3_module.py")],
                 env={"PYTHONMALLOC": setting})


if __name__ == "__main__":
    compare.main(scenario, needs=["python3"])
