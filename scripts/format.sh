#!/usr/bin/env bash
# Formats every C++ file of the tree in place; with --check only says what is not formatted.
set -u
cd "$(dirname "$0")/.." || exit 1
mode=(-i)
[ "${1-}" = --check ] && mode=(--dry-run -Werror)
folders=()
for folder in src include tools tests bench examples; do
  [ -d "$folder" ] && folders+=("$folder")
done
find "${folders[@]}" \( -name '*.h' -o -name '*.cc' -o -name '*.c' \) -print0 |
  xargs -0 --no-run-if-empty clang-format-19 "${mode[@]}"
