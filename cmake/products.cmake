# What a build leaves in the root of its folder: libream.so, libream.a, ream, page_replay.

set(layers_below_abi ${REAM_LAYERS})
list(REMOVE_ITEM layers_below_abi abi)

# All layers but abi, for programs that use parts of ream and keep their own malloc.
ream_layer_objects(objects_below_abi ${layers_below_abi})
if(objects_below_abi)
  add_library(ream_parts STATIC ${objects_below_abi})
  set_target_properties(ream_parts PROPERTIES ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/parts")
  target_link_libraries(ream_parts INTERFACE Threads::Threads)
endif()

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
  target_include_directories(ream_shared INTERFACE "${CMAKE_SOURCE_DIR}/include")

  add_library(ream_static STATIC ${objects})
  set_target_properties(ream_static PROPERTIES OUTPUT_NAME ream)
  target_include_directories(ream_static INTERFACE "${CMAKE_SOURCE_DIR}/include")
  target_link_libraries(ream_static INTERFACE Threads::Threads)
  if(REAM_LTO)
    # The archive keeps machine code only, so that any compiler and any linker can use it.
    add_custom_command(TARGET ream_static POST_BUILD
      COMMAND "${CMAKE_OBJCOPY}" --wildcard --remove-section ".gnu.lto_*" $<TARGET_FILE:ream_static>
      VERBATIM)
  endif()
endif()

file(GLOB tool_sources CONFIGURE_DEPENDS tools/ream/*.cc)
find_package(fmt QUIET)
find_package(CLI11 QUIET)
if(tool_sources AND NOT (fmt_FOUND AND CLI11_FOUND))
  message(STATUS "libfmt-dev or libcli11-dev not found: the ream command is not built")
elseif(tool_sources)
  add_executable(ream ${tool_sources})
  target_link_libraries(ream PRIVATE ream_common fmt::fmt CLI11::CLI11)
  if(TARGET ream_parts)
    target_link_libraries(ream PRIVATE ream_parts)
  endif()
  if(TARGET ream_shared)
    add_dependencies(ream ream_shared)
  endif()
endif()
