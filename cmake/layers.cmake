# The layers, from tests/structure/layers.txt. For a layer L that exists in src/:
#   ream_L          the target: an object library, or an interface one where L has headers only
#   REAM_CLOSURE_L  L and all layers it stands on, lowest first

set(layers_table "${CMAKE_SOURCE_DIR}/tests/structure/layers.txt")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${layers_table}")
file(STRINGS "${layers_table}" layer_lines REGEX "^[a-z]+:")

# A file name may end in the system it is for, as in reserve_linux.cc; other systems' files are
# left out.
string(TOLOWER "${CMAKE_SYSTEM_NAME}" ream_system)
function(ream_drop_other_systems list_name)
  set(kept "")
  foreach(source IN LISTS ${list_name})
    if(source MATCHES "_(linux|darwin|freebsd|windows)\\.cc$" AND NOT CMAKE_MATCH_1 STREQUAL ream_system)
      continue()
    endif()
    list(APPEND kept "${source}")
  endforeach()
  set(${list_name} "${kept}" PARENT_SCOPE)
endfunction()

# Likewise for a processor: where x_x86.cc or x_arm64.cc is for this one, x_other.cc is left out.
string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" ream_processor)
if(ream_processor MATCHES "^(x86_64|amd64)$")
  set(ream_processor x86)
elseif(ream_processor MATCHES "^(aarch64|arm64)$")
  set(ream_processor arm64)
endif()
function(ream_drop_other_processors list_name)
  set(kept "")
  foreach(source IN LISTS ${list_name})
    if(source MATCHES "_(x86|arm64)\\.cc$" AND NOT CMAKE_MATCH_1 STREQUAL ream_processor)
      continue()
    endif()
    string(REGEX REPLACE "_other\\.cc$" "_${ream_processor}.cc" own "${source}")
    if(NOT own STREQUAL source AND own IN_LIST ${list_name})
      continue()
    endif()
    list(APPEND kept "${source}")
  endforeach()
  set(${list_name} "${kept}" PARENT_SCOPE)
endfunction()

# The one file that catches (a new handler may throw where the caller asked for null). It names the C++
# runtime weakly in assembler, which only holds within its own object: no LTO.
set_source_files_properties(src/abi/operator_new_nothrow.cc PROPERTIES
  COMPILE_OPTIONS "-fexceptions;$<$<BOOL:${REAM_LTO}>:-fno-lto>")

# GCC 12 takes the undefined registers inside its own intrinsics for a mistake.
set_source_files_properties(src/page/kernels_x86.cc PROPERTIES
  COMPILE_OPTIONS "$<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized;-Wno-maybe-uninitialized>")

set(REAM_LAYERS "")
foreach(line IN LISTS layer_lines)
  string(REGEX MATCHALL "[a-z]+" words "${line}")
  list(POP_FRONT words layer)
  file(GLOB headers CONFIGURE_DEPENDS "src/${layer}/*.h")
  file(GLOB sources CONFIGURE_DEPENDS "src/${layer}/*.cc")
  if(NOT headers AND NOT sources)
    continue()
  endif()
  ream_drop_other_systems(sources)
  ream_drop_other_processors(sources)
  if(sources)
    add_library(ream_${layer} OBJECT ${sources})
    target_link_libraries(ream_${layer} PRIVATE ream_library_flags)
  else()
    add_library(ream_${layer} INTERFACE)
  endif()

  set(closure "")
  foreach(lower IN LISTS words)
    list(APPEND closure ${REAM_CLOSURE_${lower}})
  endforeach()
  list(APPEND closure ${layer})
  list(REMOVE_DUPLICATES closure)
  set(REAM_CLOSURE_${layer} "${closure}")
  list(APPEND REAM_LAYERS ${layer})
endforeach()

# Link `target` with the objects of a layer and of those below it.
function(ream_link_layer target layer)
  foreach(part IN LISTS REAM_CLOSURE_${layer})
    target_link_libraries(${target} PRIVATE ream_${part})
  endforeach()
endfunction()

# The objects of all named layers, as generator expressions.
function(ream_layer_objects out)
  set(objects "")
  foreach(layer IN LISTS ARGN)
    get_target_property(type ream_${layer} TYPE)
    if(type STREQUAL "OBJECT_LIBRARY")
      list(APPEND objects $<TARGET_OBJECTS:ream_${layer}>)
    endif()
  endforeach()
  set(${out} "${objects}" PARENT_SCOPE)
endfunction()

add_custom_target(ream_layers)
foreach(layer IN LISTS REAM_LAYERS)
  add_dependencies(ream_layers ream_${layer})
endforeach()
