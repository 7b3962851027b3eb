// Which 2 MiB regions of the heap are pages of the system's pool (HugePageMode::kExplicit): a bit a
// region, in a table for each window, made when the heap first takes from the pool.
//
// The system knows such a page as a whole only: no part of it can be given back, nor moved, and a
// request to do so may be carried out for a part of a range and say that all is well. So what asks
// the OS for that asks here first.
//
// Thread safety: holds_any() from any thread; the others under the owner's lock. Of a region with a
// page in use, the answer does not change.
// Lifetime: constant-initialised, never destroyed.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/units.h"
#include "heap/huge_regions.h"
#include "page/geometry.h"
#include "span/page_map.h"

namespace ream {

class PooledRegions {
 public:
  static constexpr Bytes kRegion = HugeRegions::kBytes;

  // Makes the table of an address's window. False when there is no memory.
  [[nodiscard]] bool cover(Addr address) noexcept;
  // REQUIRES: cover; whole regions, none of which is there.
  void add(Addr base, Bytes bytes) noexcept;
  // REQUIRES: whole regions, all of which are there.
  void remove(Addr base, Bytes bytes) noexcept;

  // Whether a range lies on any.
  [[nodiscard]] bool holds_any(Addr base, Bytes bytes) const noexcept {
    return count() != 0 && find(base, bytes);
  }
  [[nodiscard]] std::uint64_t count() const noexcept {
    return count_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr unsigned kWindowLog = page::HeapWindow::kAddressBits;
  static constexpr std::size_t kWindows = std::size_t{1} << (PageMap::kAddressBits - kWindowLog);
  using Word = std::atomic<std::uint64_t>;
  static constexpr unsigned kWordLog = 6;

  [[nodiscard]] bool find(Addr base, Bytes bytes) const noexcept;
  [[nodiscard]] static constexpr std::size_t index_of(Addr a) noexcept {
    return (a.n >> HugeRegions::kLogBytes) &
           ((std::size_t{1} << (kWindowLog - HugeRegions::kLogBytes)) - 1);
  }
  void flip(Addr base, Bytes bytes) noexcept;

  std::array<std::atomic<Word*>, kWindows> tables_{};
  std::atomic<std::uint64_t> count_{0};
};

}  // namespace ream
