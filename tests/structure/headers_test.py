#!/usr/bin/env python3
"""Every header of src/ and include/ compiles alone, twice in one file, without a warning; the public
ones that C programs may use (include/ream/*.h but those of CPP_HEADERS) compile as C11 too. The compiler
is $CXX, else c++.

A header that its own .cc file includes before anything else is not compiled here: the build has done it.
"""
import concurrent.futures
import os
import re
import subprocess
import unittest

from tree import ROOT, assert_none, files_under, made_up_tree

# Public headers for C++ only. They show layers of src/ to programs.
CPP_HEADERS = {"include/ream/heap.h", "include/ream/page.h", "include/ream/page_os.h"}
FLAGS = ["-fsyntax-only", "-Wall", "-Wextra", "-Wundef", "-Werror"]


def problem_of(root, header, language):
    """The compiler's first complaint about a file that includes the header twice, or None."""
    base = header.parts[0]
    name = "/".join(header.parts[1:])
    command = [os.environ.get("CXX", "c++"), "-x", *language, *FLAGS,
               f"-I{root / base}", f"-I{root / 'include'}"]
    if str(header) in CPP_HEADERS:
        command.append(f"-I{root / 'src'}")
    command.append("-")
    done = subprocess.run(command, input=f'#include "{name}"\n#include "{name}"\n', text=True,
                          capture_output=True)
    if done.returncode == 0:
        return None
    errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
    return f"{header}: {errors[0] if errors else 'does not compile'}"


def compiled_by_the_build(root, header):
    source = (root / header).with_suffix(".cc")
    if not source.is_file() or "#pragma once" not in (root / header).read_text():
        return False
    first = re.search(r"^#\s*include\s*(.*)$", source.read_text(), re.MULTILINE)
    return first is not None and first.group(1).strip() == f'"{"/".join(header.parts[1:])}"'


def violations(root):
    jobs = []
    for header in files_under(root, ["src", "include"], {".h", ".hpp"}):
        if compiled_by_the_build(root, header):
            continue
        jobs.append((header, ("c++", "-std=c++20")))
        if header.parts[0] == "include" and header.suffix == ".h" and str(header) not in CPP_HEADERS:
            jobs.append((header, ("c", "-std=c11")))
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        problems = pool.map(lambda job: problem_of(root, *job), jobs)
    return [problem for problem in problems if problem]


class Repository(unittest.TestCase):
    def test_headers_compile_alone(self):
        assert_none(self, violations(ROOT))


class Rules(unittest.TestCase):
    def found(self, path, text, **more):
        files = {"src/base/good.h": "#pragma once\nstruct Good {};\n", path: text, **more}
        with made_up_tree(files) as root:
            return violations(root)

    def test_good(self):
        self.assertEqual(self.found("src/page/x.h", '#pragma once\n#include "base/good.h"\nstruct X : Good {};\n'), [])
        self.assertEqual(self.found("include/ream/ream.h", "#pragma once\nint ream_x(void);\n"), [])

    def test_public_header_of_a_layer(self):
        text = '#pragma once\n#include "base/good.h"\nnamespace ream {}\n'
        self.assertEqual(self.found("include/ream/page.h", text), [])
        self.assertNotEqual(self.found("include/ream/other.h", text), [])

    def test_leans_on_another_include(self):
        found = self.found("src/page/x.h", "#pragma once\nstruct X : Good {};\n")
        self.assertEqual(len(found), 1)
        self.assertIn("src/page/x.h", found[0])

    def test_own_source_includes_it_first(self):
        bad = "#pragma once\nstruct X : Good {};\n"
        first, second = '#include "page/x.h"\n', '#include "base/good.h"\n'
        self.assertEqual(self.found("src/page/x.h", bad, **{"src/page/x.cc": first + second}), [])
        self.assertEqual(len(self.found("src/page/x.h", bad, **{"src/page/x.cc": second + first})), 1)

    def test_no_pragma_once(self):
        self.assertEqual(len(self.found("src/page/x.h", "struct X {};\n")), 1)

    def test_public_header_is_not_c(self):
        found = self.found("include/ream/ream.h", "#pragma once\nnamespace ream {}\n")
        self.assertEqual(len(found), 1)


if __name__ == "__main__":
    unittest.main()
