// What is known of each 2 MiB region of the heap: a table of 2 bytes a region for each window, made
// when the heap is no longer small, resident where the heap has grown.
//
// Thread safety: get() from any thread; the others under the owner's lock.
// Lifetime: constant-initialised, never destroyed.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/units.h"
#include "page/geometry.h"
#include "span/page_map.h"

namespace ream {

class HugeRegions {
 public:
  static constexpr unsigned kLogBytes = 21;
  static constexpr Bytes kBytes{std::uint64_t{1} << kLogBytes};

  struct Region {
    static constexpr unsigned kMostRefusals = 7;
    static constexpr unsigned kMostAge = 1023;

    bool open = false;      // the system may make it huge by itself: by our advice, or its own rule
    bool closed = false;    // advised against
    bool backed = false;    // perhaps by a huge page
    unsigned refusals = 0;  // times it was split, or no huge page could be had
    unsigned age = 0;       // looks that found it full, one after another

    friend constexpr bool operator==(const Region&, const Region&) noexcept = default;
  };

  // Makes the table of an address's window. False when there is no memory.
  [[nodiscard]] bool cover(Addr address) noexcept;

  // Of an address whose window has no table: the default.
  [[nodiscard]] Region get(Addr address) const noexcept;
  // REQUIRES: cover.
  void set(Addr address, Region region) noexcept;

  // Calls visit(Addr) for each region that a range touches.
  template <class Visit>
  static void for_each(Addr base, Bytes bytes, Visit visit) noexcept {
    for (std::uint64_t r = base.n >> kLogBytes; r <= (base.n + bytes.n - 1) >> kLogBytes; ++r)
      visit(Addr(r << kLogBytes));
  }

 private:
  static constexpr unsigned kWindowLog = page::HeapWindow::kAddressBits;
  static constexpr std::size_t kWindows = std::size_t{1} << (PageMap::kAddressBits - kWindowLog);
  using Packed = std::uint16_t;

  [[nodiscard]] static constexpr std::size_t index_of(Addr a) noexcept {
    return (a.n >> kLogBytes) & ((std::size_t{1} << (kWindowLog - kLogBytes)) - 1);
  }

  std::array<std::atomic<Packed*>, kWindows> tables_{};
};

}  // namespace ream
