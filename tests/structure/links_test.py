#!/usr/bin/env python3
"""Every link and every named path in the documentation leads somewhere.

Rules, for each *.md file of the tree:
 1. A link to a file is relative and the file exists.
 2. A link to a heading (#like-this) names one that the file has.
 3. A path in backticks that begins with a folder of the source tree (`src/page/summary.h`) exists; it
    may hold * for any letters.
Text in fenced blocks is not looked at.
"""
import re
import unittest

from tree import ROOT, assert_none, made_up_tree

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
REFERENCE = re.compile(r"^\s*\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)")
CODE = re.compile(r"`([^`]+)`")
NAMED_PATH = re.compile(r"^(src|tests|include|tools|docs|scripts|cmake|bench|oracle|examples)/[\w./*-]*$")
SKIPPED_FOLDERS = {"build", ".git", ".cache"}


def prose_lines(text):
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(text):
    """The names by which headings can be linked to, as Git hosts make them."""
    names = set()
    for _, line in prose_lines(text):
        match = re.match(r"^#{1,6}\s+(.*?)\s*#*$", line)
        if match:
            words = re.sub(r"[^\w\- ]", "", match.group(1).lower())
            name, count = words.replace(" ", "-"), 0
            while (name if not count else f"{name}-{count}") in names:
                count += 1
            names.add(name if not count else f"{name}-{count}")
    return names


def link_problem(root, path, target):
    if re.match(r"^[a-z][a-z0-9+.-]*:", target):
        return None
    if target.startswith("/"):
        return f"{target}: links are relative"
    name, _, anchor = target.partition("#")
    file = (path.parent / name) if name else path
    if not file.exists():
        return f"{target}: no such file"
    if anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
        return f"{target}: no such heading"
    return None


def violations(root):
    found = []
    for path in sorted(root.rglob("*.md")):
        relative = path.relative_to(root)
        if SKIPPED_FOLDERS & set(relative.parts):
            continue
        for number, line in prose_lines(path.read_text()):
            without_code = CODE.sub("", line)
            targets = LINK.findall(re.sub(r"`", "", line)) if "](" in line else []
            targets += REFERENCE.findall(without_code)
            problems = [link_problem(root, path, target) for target in targets]
            for code in CODE.findall(line):
                if NAMED_PATH.match(code) and not any(root.glob(code.rstrip("/"))):
                    problems.append(f"`{code}`: no such file")
            found += [f"{relative}:{number}: {problem}" for problem in problems if problem]
    return found


class Repository(unittest.TestCase):
    def test_links_hold(self):
        assert_none(self, violations(ROOT))


class Rules(unittest.TestCase):
    def found(self, text):
        files = {"README.md": text, "docs/way.md": "# The Way\n## Two: `b`\n## The Way\n", "src/a.h": ""}
        with made_up_tree(files) as root:
            return violations(root)

    def test_good(self):
        self.assertEqual(self.found(
            "# Top\n[way](docs/way.md) [h](docs/way.md#the-way) [t](#top) [w](https://example.org/x) "
            "`src/a.h` `src/*.h` `build/release/ream` [`a`](src/a.h)\n[b]: docs/way.md#two-b\n"
            "[again](docs/way.md#the-way-1)\n```\n[x](nowhere.md)\n```\n"), [])

    def assert_one(self, words, text):
        found = self.found(text)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])

    def test_missing_file(self):
        self.assert_one("gone.md: no such file", "see [it](docs/gone.md)\n")

    def test_missing_file_by_reference(self):
        self.assert_one("gone.md: no such file", "[it]: gone.md\n")

    def test_missing_heading(self):
        self.assert_one("#no-way: no such heading", "see [it](docs/way.md#no-way)\n")

    def test_absolute_link(self):
        self.assert_one("links are relative", "see [it](/etc/passwd)\n")

    def test_missing_named_path(self):
        self.assert_one("`src/b.h`: no such file", "see `src/b.h`\n")


if __name__ == "__main__":
    unittest.main()
