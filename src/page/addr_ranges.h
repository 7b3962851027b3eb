// A set of addresses as disjoint half-open ranges, sorted and merged where they touch.
//
// Thread safety: the owner's lock.
//
// Invariants (is_valid):
//  1. No range is empty; ranges ascend and do not touch.
//  2. total_bytes is the sum of their sizes.
//
// Lifetime: the array lives in memory of the Environment and doubles when full; release() ends it.
#pragma once

#include <cstdint>

#include "base/root_access.h"
#include "base/units.h"
#include "page/environment.h"

namespace ream::page {

struct AddrRange {
  Addr base{};
  Addr limit{};

  [[nodiscard]] constexpr Bytes size() const noexcept {
    return base < limit ? limit - base : Bytes();
  }
  [[nodiscard]] constexpr bool contains(Addr a) const noexcept { return base <= a && a < limit; }
  friend constexpr bool operator==(const AddrRange&, const AddrRange&) noexcept = default;

  // This range without `other`. REQUIRES: other does not split it in two.
  [[nodiscard]] AddrRange subtract(const AddrRange& other) const noexcept;
  // The part below `a`; empty if there is none.
  [[nodiscard]] AddrRange remove_greater_equal(Addr a) const noexcept;
};

class AddrRanges {
 public:
  constexpr AddrRanges() noexcept = default;

  // Allocates nothing; the first range does. REQUIRES: env outlives the set.
  void init(const Environment& env) noexcept { env_ = &env; }
  void release() noexcept;

  // Makes room for one more range, so that the next add() or remove() cannot fail. False when there
  // is no memory.
  [[nodiscard]] bool reserve_one() noexcept;

  // Adds a range, merging it with neighbours that it touches. False, and unchanged, when there is
  // no memory, when it is empty or when it overlaps the set.
  [[nodiscard]] bool add(AddrRange r) noexcept;
  // Takes the addresses of `r` out of the set; splits a range if need be. False, and unchanged,
  // when there is no memory.
  [[nodiscard]] bool remove(AddrRange r) noexcept;
  // Takes out everything at or above `a`.
  void remove_greater_equal(Addr a) noexcept;
  // Takes out the highest range, or its top `bytes` if it is larger, and returns that. Empty if the
  // set is.
  AddrRange remove_last(Bytes bytes) noexcept;

  // Number of ranges whose base is <= a: the index of the first range above it.
  [[nodiscard]] std::uint64_t find_succ(Addr a) const noexcept;
  [[nodiscard]] bool contains(Addr a) const noexcept;
  // Whether all of a non-empty range is in the set; whether any of it is.
  [[nodiscard]] bool contains(const AddrRange& r) const noexcept;
  [[nodiscard]] bool overlaps(const AddrRange& r) const noexcept;

  struct Successor {
    Addr addr{};
    bool found = false;
  };
  // Lowest address of the set that is >= a.
  [[nodiscard]] Successor find_addr_greater_equal(Addr a) const noexcept;

  // Makes `copy` equal to this set. False, and unchanged, when there is no memory.
  [[nodiscard]] bool clone_into(AddrRanges& copy) const noexcept;

  [[nodiscard]] std::uint64_t size() const noexcept { return count_; }
  [[nodiscard]] const AddrRange& operator[](std::uint64_t i) const noexcept { return ranges_[i]; }
  [[nodiscard]] const AddrRange* begin() const noexcept { return ranges_; }
  [[nodiscard]] const AddrRange* end() const noexcept { return ranges_ + count_; }
  [[nodiscard]] Bytes total_bytes() const noexcept { return total_; }
  // Memory of the array itself.
  [[nodiscard]] Bytes metadata() const noexcept { return Bytes(capacity_ * sizeof(AddrRange)); }

  [[nodiscard]] bool is_valid() const noexcept;

 private:
  friend struct inspect::RootAccess;

  [[nodiscard]] bool reserve(std::uint64_t count) noexcept;
  void insert_at(std::uint64_t i, AddrRange r) noexcept;
  void erase(std::uint64_t first, std::uint64_t last) noexcept;

  const Environment* env_ = nullptr;
  AddrRange* ranges_ = nullptr;
  std::uint64_t count_ = 0;
  std::uint64_t capacity_ = 0;
  Bytes total_{};
};

}  // namespace ream::page
