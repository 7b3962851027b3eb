#!/usr/bin/python3
"""g++ and clang++ build ream's own sources: identical objects.

Short form: some of the sources, with exactly the flags that ream is built with. Long form: all of
ream, library and tools, configured and linked too, with the compilers, ninja and the linker all
preloaded.
"""

import json
import os
import shlex
import subprocess

import compare

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
SEEDED = os.path.join(HERE, "inputs", "seeded_compile.sh")
COMPILERS = ["g++", "clang++-19"]
SHORT_FILES = 5
PRODUCTS = (".o", ".a", ".so", "/ream", "/page_replay")


def configure_arguments(compiler, build):
    return ["cmake", "-S", SOURCE, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
            f"-DCMAKE_CXX_COMPILER={compiler}", "-DBUILD_TESTING=OFF",
            f"-DREAM_LTO={'ON' if compiler == 'g++' else 'OFF'}", f"-DREAM_CCACHE={SEEDED}"]


def make_inputs(folder):
    """What ninja would run for each source, from cmake itself."""
    for compiler in COMPILERS:
        build = f"{folder}/{compiler}"
        subprocess.run(configure_arguments(compiler, build), check=True, capture_output=True,
                       env=dict(compare.FIXED_ENV, HOME=folder))


def largest_first(entry):
    return -os.path.getsize(entry["file"]), entry["file"]


def compile_some(this, compiler):
    with open(this.input(compiler, "compile_commands.json")) as file:
        entries = [entry for entry in json.load(file)
                   if entry["file"].startswith(os.path.join(SOURCE, "src"))]
    if not entries:
        raise compare.Failure("no source of ream is built")
    for entry in sorted(entries, key=largest_first)[:SHORT_FILES]:
        # cmake leaves its compiler launcher out of this file: the seed is set here.
        argv = [*shlex.split(entry["command"]), "-frandom-seed=" + entry["file"]]
        name = f"{compiler}-{os.path.relpath(entry['file'], SOURCE).replace('/', '-')}.o"
        argv[argv.index("-o") + 1] = this.path(name)
        this.run(name, argv, cwd=entry["directory"])
        this.keep_file(name)


def build_all(this, compiler):
    build = this.path(compiler)
    this.run(f"{compiler}: configure", configure_arguments(compiler, build),
             normalise=lambda text: b"")
    this.run(f"{compiler}: build", ["cmake", "--build", build, "-j", "2"],
             normalise=lambda text: b"")  # ninja's order of lines is the scheduler's
    kept = 0
    for folder, _, files in sorted(os.walk(build)):
        for file in sorted(files):
            path = os.path.join(folder, file)
            if path.endswith(PRODUCTS) and "CompilerId" not in path:
                this.keep_file(os.path.relpath(path, this.work_dir))
                kept += 1
    if kept < 10:
        raise compare.Failure(f"only {kept} products")


def scenario(this):
    for compiler in COMPILERS:
        (build_all if this.long else compile_some)(this, compiler)


if __name__ == "__main__":
    compare.main(scenario, make_inputs, needs=["cmake", "ninja", *COMPILERS])
