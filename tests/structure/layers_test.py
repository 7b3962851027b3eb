#!/usr/bin/env python3
"""Holds every include of src/, include/, tools/ and examples/ against layers.txt.

Rules, for a file of layer L:
 1. An include in quotes is written from src/ ("page/summary.h"), exists, and is of L or of a layer
    that the table allows L.
 2. An include in brackets is a header of the C++ or C standard library; only src/os sees the
    operating system. <ream/...>, the public headers, are seen by abi and inspect alone. The compiler's
    headers for a processor are seen by sources that are named for it (x_x86.cc, x_arm64.cc).
 3. #if and its kin stand only in src/os, base/config.h and base/annotate.h.
 4. Headers do not include each other in a circle; only a *_impl.h, the second half of a template that
    its header includes at the end, includes that header back.
 5. src/ has only the folders of the table, and no folders in them.
tools/ may use <ream/...>, the inspect layer, its own files and any system header.
include/ may use the C++ and C standard libraries and "ream/..."; of src/ only what PUBLIC_HEADERS says.
examples/ are programs of other people: <ream/page.h>, <ream/page_os.h>, their own files and any system
header.
"""
import re
import unittest

from tree import ROOT, assert_none, files_under, layers_table, made_up_tree, read_layers_table

SOURCES = {".h", ".cc", ".c", ".hpp", ".inc"}

STANDARD_HEADERS = set("""
algorithm any array atomic barrier bit bitset charconv chrono codecvt compare complex concepts
condition_variable coroutine deque exception execution filesystem format forward_list fstream
functional future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list
locale map memory memory_resource mutex new numbers numeric optional ostream queue random ranges ratio
regex scoped_allocator semaphore set shared_mutex source_location span sstream stack stdexcept
stop_token streambuf string string_view syncstream system_error thread tuple type_traits typeindex
typeinfo unordered_map unordered_set utility valarray variant vector version
cassert cctype cerrno cfenv cfloat cinttypes climits clocale cmath csetjmp cstdarg cstddef cstdint
cstdio cstdlib cstring ctime cuchar cwchar cwctype
assert.h ctype.h errno.h fenv.h float.h inttypes.h limits.h locale.h math.h setjmp.h stdarg.h stddef.h
stdint.h stdio.h stdlib.h string.h time.h uchar.h wchar.h wctype.h
""".split())

# <malloc.h> declares the structures that mallinfo and mallinfo2 return.
EXTRA_HEADERS = {"abi": {"malloc.h"}}
PROCESSOR_HEADERS = {"x86": {"cpuid.h", "immintrin.h"}, "arm64": {"arm_neon.h"}}
# What a public header may show of src/: layers, or single files.
PUBLIC_HEADERS = {"include/ream/page.h": {"base", "page"},
                  "include/ream/page_os.h": {"heap/page_environment.h"}}
EXAMPLES_MAY_USE = {"ream/page.h", "ream/page_os.h"}
PUBLIC_HEADER_LAYERS = {"abi", "inspect"}
CONDITIONAL_FILES = {"src/base/config.h", "src/base/annotate.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
CONDITIONAL = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|elifdef|elifndef)\b")


def includes(text):
    """(line number, quoted or None, bracketed or None) of each include."""
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def processor_of(path):
    """The processor that a source is named for, or None."""
    last = path.stem.rpartition("_")[2]
    return last if path.suffix == ".cc" and last in PROCESSOR_HEADERS else None


def quoted_violation(root, table, layer, name):
    used = name.split("/")[0]
    if not (root / "src" / name).is_file():
        return f'no src/{name}: includes in quotes are written from src/'
    if used != layer and used not in table[layer]:
        return f'{layer} may not include {used} ("{name}")'
    return None


def bracketed_violation(layer, processor, name):
    if name.startswith("ream/"):
        return None if layer in PUBLIC_HEADER_LAYERS else f"{layer} may not include <{name}>"
    if layer == "os" or name in STANDARD_HEADERS or name in EXTRA_HEADERS.get(layer, ()):
        return None
    for known, headers in PROCESSOR_HEADERS.items():
        if name in headers:
            return None if processor == known else f"<{name}> belongs to {known}: only *_{known}.cc may include it"
    return f"<{name}> belongs to the operating system: only src/os may include it"


def source_violations(root, table):
    for path in files_under(root, ["src"], SOURCES):
        layer = path.parts[1]
        if len(path.parts) != 3 or layer not in table:
            yield f"{path}: not directly in a folder that layers.txt names"
            continue
        text = (root / path).read_text()
        for number, quoted, bracketed in includes(text):
            problem = (quoted_violation(root, table, layer, quoted) if quoted
                       else bracketed_violation(layer, processor_of(path), bracketed))
            if problem:
                yield f"{path}:{number}: {problem}"
        if layer != "os" and str(path) not in CONDITIONAL_FILES:
            for number, line in enumerate(text.splitlines(), 1):
                if CONDITIONAL.match(line):
                    yield f"{path}:{number}: {line.strip()}: options are constexpr, read by if constexpr"


def circle_violations(root):
    graph = {}
    for path in files_under(root, ["src"], SOURCES):
        if path.name.endswith("_impl.h"):
            continue
        name = "/".join(path.parts[1:])
        graph[name] = [quoted for _, quoted, _ in includes((root / path).read_text()) if quoted]
    done = set()

    def walk(name, trail):
        if name in trail:
            yield "src: circle of includes: " + " -> ".join(trail[trail.index(name):] + [name])
            return
        if name in done:
            return
        for lower in graph.get(name, ()):
            yield from walk(lower, trail + [name])
        done.add(name)

    for name in sorted(graph):
        yield from walk(name, [])


def tool_violations(root, table):
    for path in files_under(root, ["tools"], SOURCES):
        for number, quoted, _ in includes((root / path).read_text()):
            if not quoted:
                continue
            own = any((base / quoted).is_file() for base in ((root / path).parent, root / "tools"))
            layer = quoted.split("/")[0]
            if not own and layer in table and layer != "inspect":
                yield f'{path}:{number}: tools may not include {layer} ("{quoted}"), only inspect'


def public_header_violations(root):
    for path in files_under(root, ["include"], SOURCES):
        shown = PUBLIC_HEADERS.get(str(path), set())
        for number, quoted, bracketed in includes((root / path).read_text()):
            name = quoted or bracketed
            if name.startswith("ream/"):
                if not (root / "include" / name).is_file():
                    yield f"{path}:{number}: no include/{name}"
            elif quoted and quoted not in shown and quoted.split("/")[0] not in shown:
                yield f'{path}:{number}: a public header may not show "{quoted}"'
            elif bracketed and bracketed not in STANDARD_HEADERS:
                yield f"{path}:{number}: a public header may not include <{bracketed}>"


def example_violations(root):
    for path in files_under(root, ["examples"], SOURCES):
        for number, quoted, bracketed in includes((root / path).read_text()):
            if quoted and not ((root / path).parent / quoted).is_file():
                yield f'{path}:{number}: "{quoted}": examples see only <ream/page*.h> and their own files'
            if bracketed and bracketed.startswith("ream/") and bracketed not in EXAMPLES_MAY_USE:
                yield f"{path}:{number}: examples may not include <{bracketed}>"


def violations(root, table):
    return [*source_violations(root, table), *circle_violations(root), *tool_violations(root, table),
            *public_header_violations(root), *example_violations(root)]


class Repository(unittest.TestCase):
    def test_layers_hold(self):
        assert_none(self, violations(ROOT, read_layers_table()))

    def test_table_is_ordered(self):
        """A layer stands only on layers above it in the table, so the build can follow its order."""
        seen = set()
        for layer, lower in read_layers_table().items():
            self.assertLessEqual(lower, seen, layer)
            seen.add(layer)


class Rules(unittest.TestCase):
    TABLE = layers_table("base:\nos: base\npage: base\nheap: base os page\nabi: base heap\n"
                         "inspect: base # comment\n")
    GOOD = {
        "src/base/units.h": "#pragma once\n#include <cstdint>\n",
        "src/base/config.h": "#ifndef A\n#define A 0\n#endif\n",
        "src/os/os_linux.cc": '#include <sys/mman.h>\n#include "base/units.h"\n#ifdef X\n#endif\n',
        "src/page/alloc.h": '#include "base/units.h"\n',
        "src/page/alloc.cc": '#include "page/alloc.h"\n',
        "src/page/vectors_x86.cc": "#include <immintrin.h>\n#include <cpuid.h>\n",
        "src/page/vectors_arm64.cc": "#include <arm_neon.h>\n",
        "src/abi/malloc.cc": "#include <malloc.h>\n#include <ream/ream.h>\n",
        "src/inspect/reader.h": "",
        "tools/ream/main.cc": '#include <unistd.h>\n#include "inspect/reader.h"\n#include "run.h"\n',
        "tools/ream/run.h": "",
        "include/ream/ream.h": "#include <stddef.h>\n",
        "include/ream/page.h": '#include <cstddef>\n#include "base/units.h"\n#include "page/alloc.h"\n',
        "include/ream/page_os.h": '#include "heap/page_environment.h"\n#include <ream/page.h>\n',
        "examples/pool/main.cc": '#include <ream/page.h>\n#include <sys/mman.h>\n#include "pool.h"\n',
        "examples/pool/pool.h": "",
    }

    def assert_one(self, words, path, text):
        with made_up_tree({**self.GOOD, path: text}) as root:
            found = violations(root, self.TABLE)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])
        self.assertIn(path, found[0])

    def test_good_tree(self):
        with made_up_tree(self.GOOD) as root:
            self.assertEqual(violations(root, self.TABLE), [])

    def test_upward_include(self):
        self.assert_one("base may not include page", "src/base/bits.h", '#include "page/alloc.h"\n')

    def test_sideways_include(self):
        self.assert_one("page may not include os", "src/page/x.h",
                        '  #  include "os/os_linux.cc"\n')

    def test_include_not_from_src(self):
        self.assert_one("no src/units.h", "src/base/bits.h", '#include "units.h"\n')

    def test_os_header(self):
        for header in ("sys/mman.h", "unistd.h", "pthread.h", "linux/futex.h", "fcntl.h", "sched.h",
                       "signal.h", "csignal", "dlfcn.h"):
            self.assert_one(f"<{header}>", "src/heap/x.cc", f"#include <{header}>\n")

    def test_extra_header_only_where_named(self):
        self.assert_one("<malloc.h>", "src/heap/x.cc", "#include <malloc.h>\n")

    def test_processor_header_only_in_its_files(self):
        for path in ("src/page/vectors.cc", "src/page/vectors_x86.h", "src/page/vectors_arm64.cc"):
            self.assert_one("<immintrin.h> belongs to x86", path, "#include <immintrin.h>\n")
        self.assert_one("<arm_neon.h> belongs to arm64", "src/page/vectors_x86.cc", "#include <arm_neon.h>\n")

    def test_public_header_below_abi(self):
        self.assert_one("<ream/ream.h>", "src/page/x.cc", "#include <ream/ream.h>\n")

    def test_conditional(self):
        for line in ("#if 1", "#ifdef __linux__", " # ifndef X_H", "#elif Y"):
            self.assert_one(line.strip(), "src/heap/x.h", line + "\n")

    def test_unknown_folder(self):
        self.assert_one("layers.txt", "src/extra/x.h", "")

    def test_nested_folder(self):
        self.assert_one("layers.txt", "src/page/deep/x.h", "")

    def test_circle(self):
        files = {"src/page/a.h": '#include "page/b.h"\n', "src/page/b.h": '#include "page/a.h"\n'}
        with made_up_tree({**self.GOOD, **files}) as root:
            found = violations(root, self.TABLE)
        self.assertEqual(found, ["src: circle of includes: page/a.h -> page/b.h -> page/a.h"])

    def test_second_half_includes_back(self):
        files = {"src/page/a.h": '#include "page/a_impl.h"\n', "src/page/a_impl.h": '#include "page/a.h"\n'}
        with made_up_tree({**self.GOOD, **files}) as root:
            self.assertEqual(violations(root, self.TABLE), [])

    def test_tool_reaches_below_inspect(self):
        self.assert_one("only inspect", "tools/ream/x.cc", '#include "page/alloc.h"\n')

    def test_public_header_shows_too_much(self):
        self.assert_one('may not show "page/alloc.h"', "include/ream/ream.h", '#include "page/alloc.h"\n')
        self.assert_one('may not show "heap/heap.h"', "include/ream/page_os.h", '#include "heap/heap.h"\n')
        self.assert_one("no include/ream/gone.h", "include/ream/ream.h", "#include <ream/gone.h>\n")
        self.assert_one("<unistd.h>", "include/ream/ream.h", "#include <unistd.h>\n")

    def test_example_reaches_inside(self):
        self.assert_one('"page/alloc.h"', "examples/pool/main.cc", '#include "page/alloc.h"\n')
        self.assert_one("<ream/ream.h>", "examples/pool/main.cc", "#include <ream/ream.h>\n")


if __name__ == "__main__":
    unittest.main()
