// Where the search for a run may begin: below `page()` no free run of `pages()` pages or more
// begins. Holes at the bottom of a heap that are too small for a size are so passed over once, not
// by each request.
//
// One hint, for one size at a time; it serves all larger ones too. One for each power of two made
// mixed sizes 10 % slower than none: there each request takes the run that its hint has led to.
//
// Pages that become free may join a run that begins below them. If the part below has a chunk's
// length or more, the hint lies above none of it. So only pages up to a chunk's length above the
// hint need a look (concerns()).
//
// Thread safety: the owner's lock.
//
// Invariant (PageAlloc::is_valid): what the first sentence says.
#pragma once

#include <cstdint>

#include "base/annotate.h"
#include "page/chunk_bits.h"
#include "page/geometry.h"

namespace ream::page {

class FitHint {
 public:
  // No free run of n pages begins below.
  [[nodiscard]] PageIndex lowest(std::uint64_t n) const noexcept {
    return n >= pages_ ? page_ : PageIndex();  // while there is none both are 0
  }

  // No free run of n pages begins below `page`. Kept if it serves as many sizes as the one before,
  // or if that lies below `start`, where every search begins anyway.
  REAM_INLINE void raise(std::uint64_t n, PageIndex page, PageIndex start) noexcept {
    if (n > kChunkPages || (n > pages_ && page_ > start)) return;
    pages_ = n;
    page_ = page;
    reach_ = page + Pages(kChunkPages);
  }

  // Whether a free run that pages freed at `page` belong to may begin below the hint.
  [[nodiscard]] bool concerns(PageIndex page) const noexcept { return page < reach_; }

  // A free run of n pages begins at `page`.
  REAM_INLINE void lower(std::uint64_t n, PageIndex page) noexcept {
    if (n < pages_ || page >= page_) return;
    page_ = page;
    reach_ = page + Pages(kChunkPages);
  }

  // Any run may be free.
  void forget() noexcept { page_ = reach_ = PageIndex(); }

  // At least 1.
  [[nodiscard]] std::uint64_t pages() const noexcept { return pages_ == 0 ? 1 : pages_; }
  [[nodiscard]] PageIndex page() const noexcept { return page_; }

 private:
  std::uint64_t pages_ = 0;
  PageIndex page_{};
  PageIndex reach_{};  // a chunk's length above it; 0 while it is 0
};

}  // namespace ream::page
