#!/usr/bin/env python3
"""What libream.so shows to the programs it is loaded into. $REAM_BUILD is the build folder.

 1. It needs only libc (and the dynamic loader): no libstdc++, so it can be loaded into anything.
 2. It exports the malloc family, operator new and delete, and ream_*; nothing else can clash.
 3. It takes from outside only symbols of glibc; what it uses of libstdc++ when that is there is weak.
 4. Its thread-local storage is small and needs no call (no __tls_get_addr), so that it can be
    dlopened late, from glibc's small reserve of static TLS.
"""
import os
import pathlib
import re
import subprocess
import unittest

from tree import assert_none

MALLOC_FAMILY = set("""
malloc calloc realloc free free_sized free_aligned_sized aligned_alloc posix_memalign memalign valloc
pvalloc reallocarray malloc_usable_size malloc_trim malloc_info mallinfo mallinfo2 mallopt malloc_stats
""".split())
NEW_OR_DELETE = re.compile(r"^_Z(nw|na|dl|da)")
NEEDED = re.compile(r"\(NEEDED\)\s+Shared library: \[([^\]]+)\]")
ALLOWED_NEEDED = re.compile(r"^(libc\.so\.6|ld-linux.*\.so\.\d+)$")
MAX_TLS_BYTES = 256


def needed_violations(dynamic_section):
    return [f"needs {name}" for name in NEEDED.findall(dynamic_section) if not ALLOWED_NEEDED.match(name)]


def symbols(nm_output):
    """(type letter, name without version, version or '') of each line of nm -D."""
    for line in nm_output.splitlines():
        kind, name = line.split()[-2:]
        name, _, version = name.partition("@")
        yield kind, name, version.lstrip("@")


def export_violations(nm_output):
    return [f"exports {name}" for kind, name, _ in symbols(nm_output)
            if kind not in "Uwv" and not (
                name in MALLOC_FAMILY or NEW_OR_DELETE.match(name) or name.startswith("ream_"))]


def import_violations(nm_output):
    found = []
    for kind, name, version in symbols(nm_output):
        if kind == "U" and not version.startswith("GLIBC_"):
            found.append(f"needs {name}, which is not of glibc")
        if name == "__tls_get_addr":
            found.append("calls __tls_get_addr: thread-local storage is not initial-exec")
    return found


def tls_violations(program_headers):
    for line in program_headers.splitlines():
        fields = line.split()
        if fields[:1] == ["TLS"]:
            size = int(fields[5], 16)
            if size > MAX_TLS_BYTES:
                return [f"takes {size} bytes of static TLS, more than {MAX_TLS_BYTES}"]
    return []


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Library(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.build = pathlib.Path(os.environ["REAM_BUILD"])
        cls.library = str(cls.build / "libream.so")

    def test_products_are_where_scripts_expect_them(self):
        for name in ("libream.so", "libream.a", "ream", "page_replay"):
            self.assertTrue((self.build / name).is_file(), name)

    def test_needs_only_libc(self):
        assert_none(self, needed_violations(output_of("readelf", "-dW", self.library)))

    def test_exports(self):
        assert_none(self, export_violations(output_of("nm", "-D", self.library)))

    def test_exports_the_whole_family(self):
        names = {name for kind, name, _ in symbols(output_of("nm", "-D", self.library)) if kind == "T"}
        self.assertEqual(MALLOC_FAMILY - names, set())

    def test_imports(self):
        assert_none(self, import_violations(output_of("nm", "-D", self.library)))

    def test_thread_local_storage(self):
        assert_none(self, tls_violations(output_of("readelf", "-lW", self.library)))


class Rules(unittest.TestCase):
    def test_needed(self):
        good = " 0x1 (NEEDED)  Shared library: [libc.so.6]\n 0x1 (NEEDED)  Shared library: [ld-linux-x86-64.so.2]\n"
        self.assertEqual(needed_violations(good), [])
        self.assertEqual(needed_violations(good + " 0x1 (NEEDED)  Shared library: [libstdc++.so.6]\n"),
                         ["needs libstdc++.so.6"])

    def test_exports(self):
        good = ("0000000000001100 T malloc\n0000000000001100 T ream_version\n0000000000001100 W _Znwm\n"
                "0000000000001100 T _ZdaPvm\n                 U write@GLIBC_2.2.5\n")
        self.assertEqual(export_violations(good), [])
        self.assertEqual(export_violations(good + "0000000000001100 T _ZN4ream4Heap5startEv\n"),
                         ["exports _ZN4ream4Heap5startEv"])
        self.assertEqual(export_violations(good + "0000000000001100 D g_heap\n"), ["exports g_heap"])

    def test_imports(self):
        good = "                 U write@GLIBC_2.2.5\n                 w _ZSt17__throw_bad_allocv\n"
        self.assertEqual(import_violations(good), [])
        self.assertEqual(import_violations(good + "                 U _ZSt17__throw_bad_allocv@GLIBCXX_3.4\n"),
                         ["needs _ZSt17__throw_bad_allocv, which is not of glibc"])
        self.assertEqual(len(import_violations("                 U __tls_get_addr@GLIBC_2.3\n")), 1)

    def test_thread_local_storage(self):
        line = "  TLS            0x003db0 0x0000000000003db0 0x0000000000003db0 0x000000 {} R   0x8\n"
        self.assertEqual(tls_violations(line.format("0x000010")), [])
        self.assertEqual(len(tls_violations(line.format("0x001000"))), 1)


if __name__ == "__main__":
    unittest.main()
