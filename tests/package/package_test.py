#!/usr/bin/env python3
"""Installs ream into a temporary folder, and builds and runs programs outside the tree on it.

$REAM_BUILD is the build folder, $CXX its compiler. clang++-19 is tried as well where it is installed.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ["REAM_BUILD"])
COMPILERS = [os.environ.get("CXX", "c++")]
if shutil.which("clang++-19") and "clang" not in COMPILERS[0]:
    COMPILERS.append("clang++-19")
# What the archive may ask of the outside: what compilers ask for anyway. The rest is weak.
OUTSIDE = {"memcpy", "memset", "memmove", "memcmp", "__popcountdi2", "_GLOBAL_OFFSET_TABLE_",
           "__stack_chk_fail"}


def run(*command, status=0, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if status is not None and done.returncode != status:
        raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def undefined_symbols(nm_output):
    """Names that some member of an archive needs strongly and none defines."""
    defined, needed = set(), set()
    for line in nm_output.splitlines():
        words = line.split()
        if len(words) < 2 or words[0].endswith(":"):
            continue
        kind, name = words[-2:]
        (needed if kind == "U" else defined).add(name)
    return needed - defined


def example_of(header):
    """The program in the comment of a header: from its first #include to the end of main."""
    lines = [line[2:].removeprefix("   ") for line in header.splitlines() if line.startswith("//")]
    first = next(i for i, line in enumerate(lines) if line.startswith("#include"))
    last = next(i for i in range(first, len(lines)) if lines[i] == "}")
    return "\n".join(lines[first:last + 1]) + "\n"


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.scratch = pathlib.Path(folder.name)
        cls.prefix = cls.scratch / "prefix"
        run("cmake", "--install", BUILD, "--prefix", cls.prefix, "--component", "page")

    def configure(self, name, *options, source=HERE / "consumer", compiler=COMPILERS[0],
                  prefix=None, status=0):
        build = self.scratch / name
        build.mkdir()
        for header, program in (("page.h", "header_example.cc"), ("heap.h", "heap_example.cc")):
            example = example_of((ROOT / "include/ream" / header).read_text())
            (build / program).write_text(example)
        done = run("cmake", "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix or self.prefix}",
                   f"-DCMAKE_CXX_COMPILER={compiler}", *options, status=status)
        return build, done

    def test_programs_of_both_compilers(self):
        for compiler in COMPILERS:
            with self.subTest(compiler):
                build, _ = self.configure(f"page-{pathlib.Path(compiler).name}", compiler=compiler)
                run("cmake", "--build", build)
                self.assertEqual(run(build / "consumer").stdout, "all is well\n")
                self.check_broken_promise(build / "consumer")
                needed = run("readelf", "-d", build / "consumer").stdout
                self.assertNotIn("libream", needed)
                output = run(build / "header_example").stdout
                self.assertRegex(output, r"^3 pages at 0x\w+, 24576 bytes of them zero\n24576 bytes went back\n$")

    def check_broken_promise(self, consumer):
        done = run(consumer, "break", status=-6)  # SIGABRT
        self.assertRegex(done.stderr, r"^ream: check failed: chunk != nullptr \(.*page_query_impl.h:\d+\)\n$")
        done = run(consumer, "hook", status=7)
        self.assertEqual(done.stderr, "")
        self.assertTrue(done.stdout.startswith("own sink: ream: check failed: chunk"), done.stdout)

    def test_examples_build_on_it(self):
        build, _ = self.configure("examples", source=ROOT / "examples")
        run("cmake", "--build", build)
        run("ctest", "--test-dir", build)

    def test_unknown_component(self):
        _, done = self.configure("unknown", "-DCOMPONENT=pgae", status=None)
        self.assertNotEqual(done.returncode, 0)
        words = " ".join(done.stderr.split())
        self.assertIn("ream has no component 'pgae'; its components are: page, malloc", words)

    def test_component_that_is_not_installed(self):
        _, done = self.configure("absent", "-DCOMPONENT=malloc", status=None)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("ream's component 'malloc' is not installed in", " ".join(done.stderr.split()))

    def test_version(self):
        version = re.search(r'kVersion = "([0-9.]+)"', (ROOT / "src/base/config.h").read_text()).group(1)
        self.configure("version", f"-DVERSION={version}")
        _, done = self.configure("newer", "-DVERSION=99.0", status=None)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('compatible with requested version "99.0"', " ".join(done.stderr.split()))

    def test_the_page_library_needs_nothing(self):
        archive, = self.prefix.rglob("libream_page.a")
        self.assertEqual(undefined_symbols(run("nm", archive).stdout) - OUTSIDE, set())

    def test_installed_headers_see_only_each_other(self):
        headers = list((self.prefix / "include").rglob("*.h"))
        self.assertIn(self.prefix / "include/ream/page.h", headers)
        for header in headers:
            for name in re.findall(r'#include "([^"]+)"', header.read_text()):
                self.assertTrue((header.parent / name).is_file(), f"{header} includes {name}")

    @unittest.skipUnless((BUILD / "libream.so").is_file() and (BUILD / "libream.a").is_file(),
                         "libream is not built")
    def test_malloc(self):
        prefix = self.scratch / "whole"
        for component in ("page", "malloc"):
            run("cmake", "--install", BUILD, "--prefix", prefix, "--component", component)
        build, _ = self.configure("on_ream", "-DCOMPONENT=page;malloc", prefix=prefix)
        run("cmake", "--build", build)
        for name in ("on_ream", "on_ream_static"):
            done = run(build / name, status=-6)
            self.assertEqual(done.stdout, "still here\n")
            self.assertRegex(done.stderr, r"ream: double free: 0x")
        for name in ("both", "both_static", "heaps_c", "heaps_c_static", "heaps_cc", "heaps_cc_static"):
            self.assertEqual(run(build / name).stdout, "all is well\n")
        self.assertEqual(run(build / "heap_example").stdout, "1000 numbers, in 67108864 bytes at most\n")


if __name__ == "__main__":
    sys.exit(unittest.main())
