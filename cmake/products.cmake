# What a build leaves in the root of its folder: libream.so, libream.a, libream_page.a,
# libream_page_os.a, ream, page_replay.

set(layers_below_abi ${REAM_LAYERS})
list(REMOVE_ITEM layers_below_abi abi)

# All layers but abi, for programs that use parts of ream and keep their own malloc.
ream_layer_objects(objects_below_abi ${layers_below_abi})
if(objects_below_abi)
  add_library(ream_parts STATIC ${objects_below_abi})
  set_target_properties(ream_parts PROPERTIES ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/parts")
  target_link_libraries(ream_parts INTERFACE Threads::Threads)
endif()

# An archive keeps machine code only, so that any compiler and any linker can use it.
function(ream_machine_code_only archive)
  if(REAM_LTO)
    add_custom_command(TARGET ${archive} POST_BUILD
      COMMAND "${CMAKE_OBJCOPY}" --wildcard --remove-section ".gnu.lto_*" $<TARGET_FILE:${archive}>
      VERBATIM)
  endif()
endfunction()

file(GLOB replay_sources CONFIGURE_DEPENDS tests/replay/*.cc)
list(FILTER replay_sources EXCLUDE REGEX "_test\\.cc$")
if(replay_sources AND TARGET ream_page)
  add_executable(page_replay ${replay_sources})
  target_link_libraries(page_replay PRIVATE ream_common)
  target_include_directories(page_replay PRIVATE tests)
  ream_link_layer(page_replay page)
endif()

if(REAM_LAYER_TESTS_ONLY)
  return()
endif()

# The page allocator for programs of other people (include/ream/page.h), and an Environment for it on an
# operating system. Its code needs nothing from outside but memcpy and its like.
ream_layer_objects(page_objects base page)
add_library(ream_page_library STATIC ${page_objects})
set_target_properties(ream_page_library PROPERTIES OUTPUT_NAME ream_page EXPORT_NAME page)
target_compile_features(ream_page_library INTERFACE cxx_std_20)
# Inline functions in the headers must be the same in the library and in the program.
target_compile_definitions(ream_page_library INTERFACE
  REAM_DEBUG=$<BOOL:${REAM_DEBUG}> REAM_AUDIT_BUILD=$<BOOL:${REAM_AUDIT_BUILD}>)
target_include_directories(ream_page_library INTERFACE
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>)
ream_machine_code_only(ream_page_library)
add_library(ream::page ALIAS ream_page_library)

ream_layer_objects(os_objects os)
add_library(ream_page_environment OBJECT src/heap/page_environment.cc)
target_link_libraries(ream_page_environment PRIVATE ream_library_flags)
add_library(ream_page_os_library STATIC $<TARGET_OBJECTS:ream_page_environment> ${os_objects})
set_target_properties(ream_page_os_library PROPERTIES OUTPUT_NAME ream_page_os EXPORT_NAME page_os)
target_link_libraries(ream_page_os_library INTERFACE ream_page_library)
ream_machine_code_only(ream_page_os_library)
add_library(ream::page_os ALIAS ream_page_os_library)

ream_layer_objects(objects ${REAM_LAYERS})
if(objects AND TARGET ream_abi)
  add_library(ream_shared SHARED ${objects})
  set_target_properties(ream_shared PROPERTIES OUTPUT_NAME ream)
  # Only libc: whatever of libstdc++ the library names (std::bad_alloc's thrower, the new handler)
  # must be weak, and -z defs makes anything else an error here rather than in a program.
  target_link_options(ream_shared PRIVATE
    ${REAM_LIBRARY_FLAGS} -nodefaultlibs
    LINKER:-z,nodelete  # threads' ends, fork handlers and live memory lead here: dlclose may not unmap it
    LINKER:-z,defs LINKER:-z,relro LINKER:-z,now LINKER:--as-needed LINKER:--gc-sections)
  if(REAM_LTO)
    target_link_options(ream_shared PRIVATE -flto=auto -O3)
  endif()
  target_link_libraries(ream_shared PRIVATE -lc -lgcc)
  target_include_directories(ream_shared INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)

  add_library(ream_static STATIC ${objects})
  set_target_properties(ream_static PROPERTIES OUTPUT_NAME ream)
  target_include_directories(ream_static INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
  target_link_libraries(ream_static INTERFACE Threads::Threads)
  ream_machine_code_only(ream_static)
  set_target_properties(ream_shared PROPERTIES EXPORT_NAME ream)
endif()

file(GLOB tool_sources CONFIGURE_DEPENDS tools/ream/*.cc)
find_package(fmt QUIET)
find_package(CLI11 QUIET)
if(tool_sources AND NOT (fmt_FOUND AND CLI11_FOUND))
  message(STATUS "libfmt-dev or libcli11-dev not found: the ream command is not built")
elseif(tool_sources)
  add_executable(ream ${tool_sources})
  target_link_libraries(ream PRIVATE ream_common fmt::fmt CLI11::CLI11)
  # What CLI11 uses of libstdc++ 12 is deprecated to a newer clang.
  target_compile_options(ream PRIVATE $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>)
  if(TARGET ream_parts)
    target_link_libraries(ream PRIVATE ream_parts)
  endif()
  if(TARGET ream_shared)
    add_dependencies(ream ream_shared)
  endif()
endif()
