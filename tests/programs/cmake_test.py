#!/usr/bin/python3
"""cmake: configures a small project with ninja and make generators, and runs a script."""

import os
import re

import compare

PROJECT = """cmake_minimum_required(VERSION 3.25)
project(small LANGUAGES C CXX)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
include(CheckCXXSourceCompiles)
include(CheckIncludeFile)
include(CheckTypeSize)
check_include_file(stdint.h HAVE_STDINT_H)
check_type_size(long SIZEOF_LONG)
check_cxx_source_compiles("int main() { return 0; }" COMPILES)
find_package(Threads REQUIRED)
foreach(i RANGE 1 30)
  file(CONFIGURE OUTPUT src_${i}.c CONTENT "int f${i}(void) { return @i@; }\\n" @ONLY)
  add_library(part_${i} STATIC ${CMAKE_CURRENT_BINARY_DIR}/src_${i}.c)
  if(i GREATER 1)
    math(EXPR before "${i} - 1")
    target_link_libraries(part_${i} PRIVATE part_${before})
  endif()
endforeach()
add_executable(main main.cc)
target_link_libraries(main PRIVATE part_30 Threads::Threads)
install(TARGETS main)
"""

SCRIPT = """set(list "")
foreach(i RANGE 20000)
  math(EXPR n "(${i} * 7919) % 10007")
  list(APPEND list "item_${n}")
endforeach()
list(SORT list)
list(REMOVE_DUPLICATES list)
string(SHA256 sum "${list}")
list(LENGTH list length)
message("${length} ${sum}")
string(REGEX REPLACE "item_([0-9]+)" "<\\\\1>" text "${list}")
string(JSON json SET "{}" key "\\"${length}\\"")
string(LENGTH "${text}" length)
message("${length} ${json}")
"""
# The log of what was tried holds random names of temporary folders and, in newer ones, times.
NOT_COMPARED = re.compile(r"CMakeFiles/(CMakeConfigureLog\.yaml|CMakeOutput\.log|CMakeError\.log"
                          r"|.*/CompilerId.*|.*\.bin)$|\.ninja_(log|deps)$")


def keep_sorted(this, name):
    """cmake orders some lines of this file by the addresses of its objects."""
    with open(this.path(name), "rb") as file:
        this.keep(f"lines of {name}", b"".join(sorted(file)))


def scenario(this):
    os.mkdir(this.path("project"))
    for name, text in (("CMakeLists.txt", PROJECT), ("main.cc", "int main() { return 0; }\n"),
                       ("script.cmake", SCRIPT)):
        with open(this.path("project", name), "w") as file:
            file.write(text)
    this.run("script", ["cmake", "-P", "project/script.cmake"])
    for generator in ("Ninja", "Unix Makefiles"):
        build = generator.split()[0]
        this.run(f"configure, {generator}",
                 ["cmake", "-S", "project", "-B", build, "-G", generator,
                  "-DCMAKE_BUILD_TYPE=Release"],
                 normalise=lambda text: re.sub(rb"(done) \([0-9.]+s\)", rb"\1", text))
        for folder, _, files in sorted(os.walk(this.path(build))):
            for file in sorted(files):
                name = os.path.relpath(os.path.join(folder, file), this.work_dir)
                if file == "Makefile2":
                    keep_sorted(this, name)
                elif not NOT_COMPARED.search(name):
                    this.keep_file(name)
    this.run("build", ["cmake", "--build", "Ninja", "--target", "part_7", "main"],
             normalise=lambda text: b"")
    this.keep_file("Ninja/libpart_7.a")
    this.keep_file("Ninja/main")


if __name__ == "__main__":
    compare.main(scenario, needs=["cmake", "ninja", "make", "g++"])
