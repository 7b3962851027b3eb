"""Runs parts of CPython's own test suite and keeps each test's result, without the durations."""

import glob
import os
import xml.etree.ElementTree

import compare

PYTHON = "/usr/bin/python3"
ATTEMPTS = 3


def read_results(path):
    """JUnit file -> {test name: "ok", "failure", "error" or "skipped"}."""
    results = {}
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        results[case.get("name")] = " ".join(sorted(kinds)) or "ok"
    return results


def run_once(this, name, tests, matches, jobs, env):
    """One run of the suite's runner -> results. A worker that dies leaves its tests out of them."""
    report = this.path("report.xml")
    argv = [PYTHON, "-m", "test", f"-j{jobs}", "--timeout=1500", "--junit-xml", report]
    for match in matches:
        argv += ["-m", match]
    out = this.run(name, argv + tests, status=None, env=env)
    # The text holds durations, load and temporary names: the results are kept in its place.
    for what in ("stdout", "stderr", "status"):
        this.kept.pop(f"{name} {what}")
    if not os.path.exists(report):
        raise compare.Failure(f"{name}: no report\n" + out[-4000:].decode(errors="replace"))
    results = read_results(report)
    os.remove(report)
    if set(results.values()) - {"ok", "skipped"} or b"crashed" in out or b"Exit code" in out:
        print(f"{name}, {'with' if this.library else 'without'} the library:")
        print(out[-6000:].decode(errors="replace"))
    return results


def run_suite(this, name, tests, at_least, matches=(), jobs=2, env=None):
    """Runs the test files and keeps one line a test: its name and result.

    The suite has tests that hold only on a machine with time to spare. One that fails an assertion
    runs again, alone, up to ATTEMPTS times in all; the death of an interpreter is final.
    at_least: fewer passed tests than this are a failure of this test.
    """
    results = run_once(this, name, tests, matches, jobs, env)
    for _ in range(ATTEMPTS - 1):
        failed = [test for test, result in results.items() if result in ("failure", "error")]
        if not failed:
            break
        results.update(run_once(this, f"{name} again", tests, failed, 1, env))
    passed = list(results.values()).count("ok")
    if passed < at_least:
        raise compare.Failure(f"{name}: {passed} tests passed, fewer than {at_least}")
    this.keep(f"{name} results", "".join(f"{test} {results[test]}\n" for test in sorted(results)))


def installed_tests(pattern):
    """Names of the suite's files, as its runner takes them."""
    found = glob.glob(f"/usr/lib/python3.*/test/{pattern}.py")
    return sorted(path.split("/test/")[1][:-3].replace("/", ".") for path in found)
