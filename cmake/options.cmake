# Options, and the flags that follow from them. A preset in CMakePresets.json sets them all.

option(REAM_DEBUG "Debug assertions (REAM_ASSERT, lock ranks)" OFF)
option(REAM_AUDIT_BUILD "O(n) invariant walkers (REAM_AUDIT)" OFF)
option(REAM_LTO "Link-time optimisation of libream.so" OFF)
option(REAM_LAYER_TESTS_ONLY "Build the layers and their tests, no shared library and no programs" OFF)
option(REAM_THREAD_SAFETY "Clang's lock analysis over the layers" OFF)
option(REAM_COVERAGE "Count executed lines" OFF)
set(REAM_SANITIZE "" CACHE STRING "Sanitizers, comma separated: address,undefined or thread")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# Programs and libraries land in the root of the build folder: scripts rely on these paths.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
find_program(REAM_CCACHE ccache)
if(REAM_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${REAM_CCACHE}")
endif()
find_package(Threads REQUIRED)

# What every file of the tree is compiled with, tests and tools included.
add_library(ream_common INTERFACE)
target_include_directories(ream_common INTERFACE "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/include")
target_compile_definitions(ream_common INTERFACE
  REAM_DEBUG=$<BOOL:${REAM_DEBUG}>
  REAM_AUDIT_BUILD=$<BOOL:${REAM_AUDIT_BUILD}>)
target_compile_options(ream_common INTERFACE -Wall -Wextra -Wundef -Werror)
target_link_libraries(ream_common INTERFACE Threads::Threads)
if(REAM_SANITIZE)
  set(sanitize -fsanitize=${REAM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(REAM_SANITIZE MATCHES "undefined")
    list(APPEND sanitize -fno-sanitize=vptr)  # the library has no RTTI
  endif()
  target_compile_options(ream_common INTERFACE ${sanitize})
  target_link_options(ream_common INTERFACE ${sanitize})
endif()
if(REAM_COVERAGE)
  target_compile_options(ream_common INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(ream_common INTERFACE --coverage)
endif()

# What the library itself is compiled with: no exceptions, no RTTI, TLS that costs one instruction,
# and no rewriting of its own malloc family into calls of each other.
set(REAM_LIBRARY_FLAGS
  -fno-exceptions -fno-rtti -fno-threadsafe-statics -fvisibility=hidden
  -fno-semantic-interposition -fno-plt -ftls-model=initial-exec
  -fno-builtin-malloc -fno-builtin-free -fno-builtin-calloc -fno-builtin-realloc
  -fasynchronous-unwind-tables)
add_library(ream_library_flags INTERFACE)
target_link_libraries(ream_library_flags INTERFACE ream_common)
target_compile_options(ream_library_flags INTERFACE ${REAM_LIBRARY_FLAGS}
  -Wshadow -Wnon-virtual-dtor -Wold-style-cast
  $<$<CONFIG:Release>:-O3>)
if(REAM_THREAD_SAFETY)
  target_compile_options(ream_library_flags INTERFACE -Wthread-safety -Wthread-safety-beta)
endif()
if(REAM_LTO)
  # Fat objects: tests and libream.a link the same objects without the LTO step.
  target_compile_options(ream_library_flags INTERFACE -flto -ffat-lto-objects)
  target_link_options(ream_common INTERFACE -fno-lto)
endif()
