#!/usr/bin/env python3
"""Lines of src/ that the tests executed, a row a layer, from a build with the coverage preset.

coverage.py BUILD_FOLDER
"""
import collections
import json
import os
import subprocess
import sys
import tempfile


def executed_lines(build, source_root):
    """file -> {line: times executed}, over all counter files of the build."""
    notes = []
    for folder, _, names in os.walk(build):
        notes += [os.path.join(folder, name) for name in names if name.endswith(".gcda")]
    lines = collections.defaultdict(lambda: collections.Counter())
    with tempfile.TemporaryDirectory() as scratch:
        for note in notes:
            done = subprocess.run(["gcov", "--json-format", "--stdout", note], cwd=scratch,
                                  capture_output=True, check=True)
            for text in done.stdout.splitlines():
                for unit in json.loads(text)["files"]:
                    path = os.path.realpath(os.path.join(scratch, unit["file"]))
                    if path.startswith(source_root):
                        for line in unit["lines"]:
                            lines[path][line["line_number"]] += line["count"]
    return lines


def main():
    build = os.path.realpath(sys.argv[1])
    source_root = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "src", "")
    layers = collections.defaultdict(lambda: [0, 0])
    for path, counts in sorted(executed_lines(build, source_root).items()):
        hit = sum(1 for count in counts.values() if count)
        name = path[len(source_root):]
        for key in (name.split("/")[0] + "/", "  " + name):
            layers[key][0] += hit
            layers[key][1] += len(counts)
    for name, (hit, total) in sorted(layers.items(), key=lambda row: (row[0].strip(), row[0])):
        print(f"{name:40} {hit:6} of {total:6} lines  {100 * hit / total:5.1f} %")


if __name__ == "__main__":
    main()
