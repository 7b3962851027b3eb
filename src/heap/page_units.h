// Bytes to pages and back, for the heap's page size; and memory for metadata, which page map, span
// pool and thread caches take in the same way.
#pragma once

#include <algorithm>

#include "base/bits.h"
#include "base/units.h"
#include "os/os.h"
#include "span/size_class.h"

namespace ream {

// At least one page: an object of no bytes has an address too.
constexpr Pages pages_for(Bytes bytes) noexcept {
  return Pages(std::max<std::uint64_t>(div_ceil(bytes.n, kPageBytes), 1));
}
constexpr Bytes bytes_of(Pages pages) noexcept { return Bytes(pages.n << kPageShift); }

// Zeroed memory that is not resident until touched; null when there is none.
inline void* map_metadata(Bytes bytes) noexcept {
  const Bytes page = os::os_page_size();
  return os::map_anywhere(Bytes(round_up(bytes.n, page.n)), page).ptr();
}

}  // namespace ream
