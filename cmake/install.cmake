# What `cmake --install build/release --prefix P` installs, for find_package(ream COMPONENTS ...).
# `--component page` or `--component malloc` installs one component, and needs only that one built.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

file(STRINGS "${CMAKE_SOURCE_DIR}/src/base/config.h" version_line REGEX "kVersion = ")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" ream_version "${version_line}")
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/ream")
configure_package_config_file(cmake/package/reamConfig.cmake.in "${CMAKE_BINARY_DIR}/package/reamConfig.cmake"
  INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${CMAKE_BINARY_DIR}/package/reamConfigVersion.cmake"
  VERSION "${ream_version}" COMPATIBILITY SameMinorVersion)

foreach(component page malloc)
  install(FILES "${CMAKE_BINARY_DIR}/package/reamConfig.cmake" "${CMAKE_BINARY_DIR}/package/reamConfigVersion.cmake"
    DESTINATION "${package_dir}" COMPONENT ${component})
  install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT ${component})
endforeach()

# ---- page
install(TARGETS ream_page_library ream_page_os_library EXPORT ream_page_export
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT page
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT ream_page_export NAMESPACE ream:: FILE ream-page.cmake DESTINATION "${package_dir}" COMPONENT page)
set(staging "${CMAKE_BINARY_DIR}/package/include")
install(CODE "set(source_dir \"${CMAKE_SOURCE_DIR}\")\nset(staging \"${staging}\")" COMPONENT page)
install(SCRIPT cmake/package/stage_headers.cmake COMPONENT page)
install(DIRECTORY "${staging}/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT page)
install(FILES docs/page-library.md DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT page)

# ---- malloc
if(TARGET ream_shared)
  install(TARGETS ream_shared ream_static EXPORT ream_malloc_export
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT malloc
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT malloc
    INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  install(EXPORT ream_malloc_export NAMESPACE ream:: FILE ream-malloc.cmake DESTINATION "${package_dir}"
    COMPONENT malloc)
  install(FILES include/ream/heap.h include/ream/ream.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/ream"
    COMPONENT malloc)
  install(FILES docs/heaps.md DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT malloc)
  if(TARGET ream)
    install(TARGETS ream RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT malloc)
  endif()
endif()
