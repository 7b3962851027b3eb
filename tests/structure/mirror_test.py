#!/usr/bin/env python3
"""tests/<layer>/<file>_test.cc mirrors src/<layer>/<file>.h or .cc (<file>_linux.cc counts too).

A test of something that is no single file is named in mirror_exceptions.txt with its reason; an
exception that is not needed is a violation too.
"""
import unittest

from tree import ROOT, assert_none, files_under, made_up_tree, read_layers_table

EXCEPTIONS = "tests/structure/mirror_exceptions.txt"


def read_exceptions(text):
    """path under tests/ -> reason"""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.split(None, 1) for line in lines if line and not line.startswith("#"))
    return {pair[0]: (pair[1:] or [""])[0] for pair in pairs}


def has_source(root, layer, name):
    folder = root / "src" / layer
    return any(any(folder.glob(pattern)) for pattern in (f"{name}.h", f"{name}.cc", f"{name}_*.cc"))


def violations(root, layers, exceptions):
    found = [f"{EXCEPTIONS}: {path} has no reason" for path, why in exceptions.items() if not why]
    needed = set()
    for layer in layers:
        for path in files_under(root, [f"tests/{layer}"], {".cc"}):
            name = path.name.removesuffix(".cc")
            if not name.endswith("_test") or has_source(root, layer, name.removesuffix("_test")):
                continue
            short = "/".join(path.parts[1:])
            needed.add(short)
            if short not in exceptions:
                found.append(f"{path}: no src/{layer}/{name.removesuffix('_test')}.h or .cc")
    found += [f"{EXCEPTIONS}: {path} is not needed" for path in exceptions if path not in needed]
    return found


class Repository(unittest.TestCase):
    def test_tests_mirror_sources(self):
        exceptions = read_exceptions((ROOT / EXCEPTIONS).read_text())
        assert_none(self, violations(ROOT, read_layers_table(), exceptions))


class Rules(unittest.TestCase):
    FILES = {"src/os/purge_linux.cc": "", "src/page/summary.h": "", "tests/os/purge_test.cc": "",
             "tests/page/summary_test.cc": "", "tests/page/naive.cc": ""}

    def found(self, files, exceptions):
        with made_up_tree({**self.FILES, **files}) as root:
            return violations(root, ["os", "page"], exceptions)

    def test_good(self):
        self.assertEqual(self.found({}, {}), [])
        self.assertEqual(self.found({"tests/page/all_test.cc": ""}, {"page/all_test.cc": "whole"}), [])

    def test_stray_test(self):
        self.assertEqual(self.found({"tests/page/gone_test.cc": ""}, {}),
                         ["tests/page/gone_test.cc: no src/page/gone.h or .cc"])

    def test_needless_exception(self):
        self.assertEqual(self.found({}, {"page/summary_test.cc": "why"}),
                         [f"{EXCEPTIONS}: page/summary_test.cc is not needed"])

    def test_exception_without_reason(self):
        self.assertEqual(read_exceptions("# c\npage/x_test.cc\n"), {"page/x_test.cc": ""})
        self.assertIn(f"{EXCEPTIONS}: page/x_test.cc has no reason",
                      self.found({"tests/page/x_test.cc": ""}, {"page/x_test.cc": ""}))


if __name__ == "__main__":
    unittest.main()
