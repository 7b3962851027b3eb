#!/usr/bin/env bash
# clang-tidy 19 over src/ and tools/, with the compile commands of the clang build. tidy.sh [JOBS]
set -u
cd "$(dirname "$0")/.." || exit 1
jobs=${1:-$(nproc)}
database=build/thread-safety
[ -f "$database/compile_commands.json" ] || { echo "run cmake --preset thread-safety first" >&2; exit 1; }
# Only files of the build: those of other systems have no compile command.
python3 - "$database/compile_commands.json" <<'PY' |
import json, os, sys
root = os.getcwd() + "/"
names = {os.path.realpath(entry["file"]) for entry in json.load(open(sys.argv[1]))}
for name in sorted(names):
    if name.startswith((root + "src/", root + "tools/")):
        print(name)
PY
  xargs -P "$jobs" -n 2 clang-tidy-19 -p "$database" --quiet --extra-arg=-w --warnings-as-errors='*'
