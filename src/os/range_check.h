// Misuse checks shared by the memory functions: whole OS pages, not empty, not wrapping.
#pragma once

#include "base/bits.h"
#include "base/check.h"
#include "base/units.h"
#include "os/memory.h"

namespace ream::os {

inline void check_range(Addr base, Bytes bytes) noexcept {
  const std::uint64_t page = os_page_size().n;
  REAM_CHECK(is_aligned(base.n, page) && is_aligned(bytes.n, page));
  REAM_CHECK(bytes.n != 0 && base.n <= ~std::uint64_t{0} - bytes.n);
}

}  // namespace ream::os
