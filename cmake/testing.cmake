# Tests. tests/<layer>/*.cc becomes <layer>_test, linked with the layer and those below it but not
# with abi, so the tests keep libc's malloc. Each tests/abi/*_test.cc becomes a program on libream.so,
# each tests/abi_static/*_test.cc one on libream.a. A folder with its own CMakeLists.txt is added as
# it is, and may use the functions below.
#
# Labels: `unit` always runs, `layers` are the unit tests of single layers, `programs` run real
# programs, `long` only runs in `./check long`. A gtest case whose name ends in ForLong is `long`.
# Timeouts are generous: a busy shared machine may be several times slower than a quiet one.

option(BUILD_TESTING "Build the tests" ON)
if(NOT BUILD_TESTING)
  return()
endif()
enable_testing()
find_package(GTest QUIET)
if(NOT GTest_FOUND)
  message(STATUS "GoogleTest not found (libgtest-dev): no tests are built")
  return()
endif()

set(REAM_UNIT_TIMEOUT 900)
set(REAM_LONG_TIMEOUT 7200)

add_library(ream_test_flags INTERFACE)
target_link_libraries(ream_test_flags INTERFACE ream_common GTest::gtest GTest::gtest_main)
target_include_directories(ream_test_flags INTERFACE "${CMAKE_SOURCE_DIR}/tests")

# GoogleTest is parsed once and reused by every test. A precompiled header serves only files with the
# same code model, so tests leave that to the compiler's default.
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/test_pch.cc" CONTENT "")
add_library(ream_test_pch OBJECT "${CMAKE_BINARY_DIR}/test_pch.cc")
target_link_libraries(ream_test_pch PRIVATE ream_test_flags)
target_precompile_headers(ream_test_pch PRIVATE
  <gtest/gtest.h> <algorithm> <atomic> <map> <random> <set> <string> <thread> <vector>)

# Help shared by tests of several layers: an archive, so that a test links only what it names.
file(GLOB support_sources CONFIGURE_DEPENDS tests/support/*.cc)
if(support_sources)
  add_library(ream_test_support STATIC ${support_sources})
  target_link_libraries(ream_test_support PRIVATE ream_test_flags)
  set_target_properties(ream_test_support PROPERTIES ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/parts")
endif()

# A gtest program; link it with ream_link_layer() or a library afterwards.
function(ream_test_executable target)
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE ream_test_flags)
  target_precompile_headers(${target} REUSE_FROM ream_test_pch)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
endfunction()

# Registers a gtest program: all but its ForLong cases as `unit`, those as `long`. SHARDS n splits the
# unit part in n entries that ctest runs side by side.
function(ream_register_gtest target)
  cmake_parse_arguments(arg "" "SHARDS" "LABELS" ${ARGN})
  if(NOT arg_SHARDS)
    set(arg_SHARDS 1)
  endif()
  math(EXPR last "${arg_SHARDS} - 1")
  foreach(shard RANGE ${last})
    set(name ${target})
    if(arg_SHARDS GREATER 1)
      set(name ${target}_${shard})
    endif()
    add_test(NAME ${name} COMMAND ${target} --gtest_brief=1 "--gtest_filter=-*ForLong")
    set_tests_properties(${name} PROPERTIES
      TIMEOUT ${REAM_UNIT_TIMEOUT}
      LABELS "unit;${arg_LABELS}"
      ENVIRONMENT "GTEST_TOTAL_SHARDS=${arg_SHARDS};GTEST_SHARD_INDEX=${shard}")
  endforeach()
  get_target_property(sources ${target} SOURCES)
  set(has_long FALSE)
  foreach(source IN LISTS sources)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}")
    if(NOT EXISTS "${source}")
      continue()  # CMake says so itself, more clearly
    endif()
    file(STRINGS "${source}" found REGEX "ForLong" LIMIT_COUNT 1)
    if(found)
      set(has_long TRUE)
    endif()
  endforeach()
  if(has_long)
    add_test(NAME ${target}_long COMMAND ${target} --gtest_brief=1 "--gtest_filter=*ForLong")
    set_tests_properties(${target}_long PROPERTIES TIMEOUT ${REAM_LONG_TIMEOUT} LABELS "long;${arg_LABELS}")
  endif()
endfunction()

# <layer>_test of the given sources, with the layer and those below it.
function(ream_layer_test layer)
  ream_test_executable(${layer}_test ${ARGN})
  ream_link_layer(${layer}_test ${layer})
  if(TARGET ream_test_support)
    target_link_libraries(${layer}_test PRIVATE ream_test_support)
  endif()
  ream_register_gtest(${layer}_test SHARDS 2 LABELS layers)
endfunction()

# A program on libream.so (malloc itself is ream's).
function(ream_abi_test name)
  ream_test_executable(abi_${name} ${ARGN})
  target_link_libraries(abi_${name} PRIVATE ream_shared)
  target_link_options(abi_${name} PRIVATE LINKER:--no-as-needed)
  ream_register_gtest(abi_${name})
endfunction()

# The same, with libream.a.
function(ream_abi_static_test name)
  ream_test_executable(abi_static_${name} ${ARGN})
  target_link_libraries(abi_static_${name} PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,ream_static>)
  ream_register_gtest(abi_static_${name})
endfunction()

# The programs are in tests/ of the build folder, what belongs to a folder's own CMakeLists.txt in parts/.
foreach(layer IN LISTS layers_below_abi)
  if(EXISTS "${CMAKE_SOURCE_DIR}/tests/${layer}/CMakeLists.txt")
    add_subdirectory(tests/${layer} parts/${layer})
    continue()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS tests/${layer}/*.cc)
  if(sources)
    ream_layer_test(${layer} ${sources})
  endif()
endforeach()

if(REAM_LAYER_TESTS_ONLY)
  return()
endif()

foreach(kind abi abi_static)
  if(EXISTS "${CMAKE_SOURCE_DIR}/tests/${kind}/CMakeLists.txt")
    add_subdirectory(tests/${kind} parts/${kind})
    continue()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS tests/${kind}/*_test.cc)
  if(NOT TARGET ream_shared)
    continue()
  endif()
  foreach(source IN LISTS sources)
    get_filename_component(name "${source}" NAME_WE)
    if(kind STREQUAL "abi")
      ream_abi_test(${name} "${source}")
    else()
      ream_abi_static_test(${name} "${source}")
    endif()
  endforeach()
endforeach()

foreach(folder tests/replay tests/structure tests/tools tests/stress tests/programs bench examples tests/package)
  if(EXISTS "${CMAKE_SOURCE_DIR}/${folder}/CMakeLists.txt")
    add_subdirectory(${folder} parts/${folder})
  endif()
endforeach()

# The tests that run programs on the library, apart from the layers' own.
add_custom_target(ream_program_tests)
foreach(folder tests/abi tests/abi_static tests/tools tests/stress tests/programs bench examples)
  if(EXISTS "${CMAKE_SOURCE_DIR}/${folder}/CMakeLists.txt")
    get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
    if(targets)
      add_dependencies(ream_program_tests ${targets})
    endif()
  endif()
endforeach()
foreach(product ream_shared ream_static ream page_replay ream_page_library ream_page_os_library)
  if(TARGET ${product})
    add_dependencies(ream_program_tests ${product})
  endif()
endforeach()
