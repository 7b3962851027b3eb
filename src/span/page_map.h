// From any address to its span: a radix of two levels over a 48-bit address space, one root entry a
// GiB, one leaf entry a page. An address that is not ours finds null and never faults.
//
// A span of a size class is entered for each of its pages. A large span is entered for its first
// page and, so that TiBs cost little, once for each chunk (4 MiB) whose first page it covers; an
// interior address walks back at most to the start of its chunk.
//
//   root_[address >> 30] --> Leaf { page[131072], chunk[256] }
//
// Thread safety: lookups at any time from any thread, without a lock; entering and removing under
// the page heap's lock. A lookup of an address inside a live object sees its span, since the object
// reached the caller after the span was entered.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/annotate.h"
#include "base/root_access.h"
#include "base/units.h"
#include "span/span.h"

namespace ream {

class PageMap {
 public:
  static constexpr unsigned kAddressBits = 48;
  static constexpr unsigned kLeafShift = 30;
  static constexpr unsigned kChunkShift = 22;
  static constexpr std::size_t kRootEntries = std::size_t{1} << (kAddressBits - kLeafShift);
  static constexpr std::size_t kLeafPages = std::size_t{1} << (kLeafShift - kPageShift);
  static constexpr std::size_t kLeafChunks = std::size_t{1} << (kLeafShift - kChunkShift);

  struct Leaf {
    Span* page[kLeafPages];
    Span* chunk[kLeafChunks];
  };

  // Memory for leaves: `map(bytes)` gives zeroed memory that is not resident until touched, or
  // null.
  using MapMetadata = void* (*)(Bytes) noexcept;

  // Makes leaves for [base, base + bytes). False if there is no memory; what was made stays.
  [[nodiscard]] bool cover(Addr base, Bytes bytes, MapMetadata map) noexcept;

  // REQUIRES: the span's range is covered; no other span is entered there.
  void enter(Span& span) noexcept;
  void remove(const Span& span) noexcept;

  // A large span that was [base, base + before) pages long has got its new length in span.pages.
  void resize(Span& span, Pages before) noexcept;

  // The span entered for the page of `address`: for a large span only its first page. The fast path
  // of free, which accepts no other address anyway. Null if there is none.
  [[nodiscard]] REAM_INLINE Span* span_for_first_page(std::uint64_t address) const noexcept {
    const std::uint64_t slot = address >> kLeafShift;
    if (slot >= kRootEntries) [[unlikely]]
      return nullptr;
    const Leaf* leaf = __atomic_load_n(&root_[slot], __ATOMIC_RELAXED);
    if (leaf == nullptr) [[unlikely]]
      return nullptr;
    return __atomic_load_n(&leaf->page[(address >> kPageShift) & (kLeafPages - 1)],
                           __ATOMIC_RELAXED);
  }

  // The span that covers `address`, or null.
  [[nodiscard]] Span* span_of(Addr address) const noexcept;

  // The span that begins at `address`, or null.
  [[nodiscard]] Span* span_for_base(Addr address) const noexcept {
    Span* span = span_for_first_page(address.n);
    return span != nullptr && span->base == address.n ? span : nullptr;
  }

  [[nodiscard]] Bytes metadata_bytes() const noexcept { return Bytes(leaf_count_ * sizeof(Leaf)); }
  [[nodiscard]] const Leaf* const* root() const noexcept { return root_.data(); }

 private:
  friend struct inspect::RootAccess;

  void set_page(std::uint64_t address, Span* span) noexcept;
  void set_chunks(std::uint64_t begin, std::uint64_t end, Span* span) noexcept;

  std::array<Leaf*, kRootEntries> root_{};
  std::uint64_t leaf_count_ = 0;
};

}  // namespace ream
