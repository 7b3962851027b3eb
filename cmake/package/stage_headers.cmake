# Run by `cmake --install`: lays out the headers of ream::page in `staging`, from where they are
# installed. Expects source_dir and staging.
#
#   include/ream/page.h          -> ream/page.h              "page/x.h" becomes "detail/page/x.h"
#   src/base, src/page, ...      -> ream/detail/LAYER/x.h    "page/x.h" becomes "../page/x.h"
#
# The includes are rewritten, since names like "base/bits.h" are looked for along the include path:
# an installed folder on that path would be found for the user's own "base/bits.h", or the user's for
# ours, whichever comes first. A path relative to the including file is found there before any other
# folder is asked, so the target adds nothing but the folder that holds ream/.

set(layered "#include \"((base|page|heap)/[a-z0-9_]+\\.h)\"")

function(stage from to prefix)
  file(READ "${from}" text)
  string(REGEX REPLACE "${layered}" "#include \"${prefix}\\1\"" text "${text}")
  file(WRITE "${to}" "${text}")
endfunction()

file(REMOVE_RECURSE "${staging}")
foreach(name page page_os)
  stage("${source_dir}/include/ream/${name}.h" "${staging}/ream/${name}.h" "detail/")
endforeach()
file(GLOB headers "${source_dir}/src/base/*.h" "${source_dir}/src/page/*.h")
foreach(header IN LISTS headers ITEMS "${source_dir}/src/heap/page_environment.h")
  file(RELATIVE_PATH name "${source_dir}/src" "${header}")
  stage("${header}" "${staging}/ream/detail/${name}" "../")
endforeach()
