// What the tree knows of a region: how many pages are free at its low end (start), in its longest
// free run (max) and at its high end (end).
//
//   63        62 ........ 42 41 ........ 21 20 ......... 0
//   all free  end            max            start           (21 bits each)
//
// Each number is below 2^21, or all three are 2^21, which is written as the top bit alone. A region
// with no free page is 0.
//
// Thread safety: plain values.
//
// Invariants (is_possible, checked where trees are walked):
//  1. start <= max and end <= max.
//  2. If one of the three is the size of the region, all are.
//  3. Unless the region is all free, start + end is at most its size less one, and with max it does
//     not exceed the pages there are: max == start, max == end, or start + max + end <= size - 2.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>

#include "base/annotate.h"
#include "page/geometry.h"

namespace ream::page {

// The three numbers unpacked; also the form in which the crown stores them (its regions exceed
// 2^21).
struct Runs {
  std::uint64_t start = 0;
  std::uint64_t max = 0;
  std::uint64_t end = 0;
  friend constexpr bool operator==(const Runs&, const Runs&) noexcept = default;
};

constexpr Runs all_free(unsigned log_pages) noexcept {
  const std::uint64_t pages = 1ULL << log_pages;
  return {pages, pages, pages};
}

class Summary {
  static constexpr std::uint64_t kMaxPages = 1ULL << kLogMaxPackedPages;
  static constexpr std::uint64_t kMask = kMaxPages - 1;

 public:
  // The bits of bits() that hold max.
  static constexpr std::uint64_t kMaxField = kMask << kLogMaxPackedPages;

  constexpr Summary() noexcept = default;

  // If max is 2^21 the others are taken to be as well; else each is kept modulo 2^21.
  [[nodiscard]] static constexpr Summary pack(std::uint64_t start, std::uint64_t max,
                                              std::uint64_t end) noexcept {
    if (max == kMaxPages) return Summary(kAllFree);
    return Summary((start & kMask) | (max & kMask) << kLogMaxPackedPages |
                   (end & kMask) << (2 * kLogMaxPackedPages));
  }
  [[nodiscard]] static constexpr Summary pack(const Runs& r) noexcept {
    return pack(r.start, r.max, r.end);
  }
  [[nodiscard]] static constexpr Summary of_all_free(unsigned log_pages) noexcept {
    return pack(page::all_free(log_pages));
  }
  [[nodiscard]] static constexpr Summary from_bits(std::uint64_t bits) noexcept {
    return Summary(bits);
  }

  [[nodiscard]] constexpr std::uint64_t bits() const noexcept { return bits_; }
  [[nodiscard]] constexpr bool is_full() const noexcept { return bits_ == 0; }

  [[nodiscard]] constexpr std::uint64_t start() const noexcept { return field(0); }
  [[nodiscard]] constexpr std::uint64_t max() const noexcept { return field(kLogMaxPackedPages); }
  [[nodiscard]] constexpr std::uint64_t end() const noexcept {
    return field(2 * kLogMaxPackedPages);
  }
  [[nodiscard]] constexpr Runs unpack() const noexcept { return {start(), max(), end()}; }

  // The same for a region below 2^21 pages, where the top bit is never set.
  [[nodiscard]] constexpr Runs unpack_small() const noexcept {
    return {bits_ & kMask, bits_ >> kLogMaxPackedPages & kMask, bits_ >> (2 * kLogMaxPackedPages)};
  }
  [[nodiscard]] constexpr std::uint64_t max_small() const noexcept {
    return bits_ >> kLogMaxPackedPages & kMask;
  }
  // The same with another max.
  [[nodiscard]] constexpr Summary with_max(std::uint64_t max) const noexcept {
    return Summary((bits_ & ~kMaxField) | max << kLogMaxPackedPages);
  }

  friend constexpr bool operator==(Summary, Summary) noexcept = default;

 private:
  static constexpr std::uint64_t kAllFree = 1ULL << 63;

  explicit constexpr Summary(std::uint64_t bits) noexcept : bits_(bits) {}

  [[nodiscard]] constexpr std::uint64_t field(unsigned shift) const noexcept {
    return (bits_ & kAllFree) != 0 ? kMaxPages : bits_ >> shift & kMask;
  }

  std::uint64_t bits_ = 0;
};
static_assert(sizeof(Summary) == 8);

// An entry of the crown, whose regions exceed 2^21 pages. A power of two in size, so that no block
// of them straddles what is committed at once.
struct alignas(32) CrownEntry {
  Runs runs;
};

constexpr Runs unpack(Summary s) noexcept { return s.unpack(); }
constexpr const Runs& unpack(const CrownEntry& e) noexcept { return e.runs; }

constexpr bool is_possible(const Runs& r, unsigned log_pages) noexcept {
  const std::uint64_t pages = 1ULL << log_pages;
  if (r.start > r.max || r.end > r.max) return false;                                 // 1
  if (r.max >= pages) return r == all_free(log_pages);                                // 2
  if (r.start + r.end > pages - 1) return false;                                      // 3
  return r.max == r.start || r.max == r.end || r.start + r.max + r.end + 2 <= pages;  // 3
}

// Adds the region `right` of `right_pages` to the running summary `sum` of the `left_pages` before
// it.
constexpr void append(Runs& sum, std::uint64_t left_pages, const Runs& right,
                      std::uint64_t right_pages) noexcept {
  const std::uint64_t joined = sum.end + right.start;
  sum.start += sum.start == left_pages ? right.start : 0;
  sum.max = sum.max > joined ? sum.max : joined;
  sum.max = sum.max > right.max ? sum.max : right.max;
  sum.end = right.end + (right.end == right_pages ? sum.end : 0);
}

// Neighbours of 2^log_pages pages each -> the region they make up. REQUIRES: count > 0.
template <class Entry>
constexpr Runs merge_one_by_one(const Entry* entries, std::uint64_t count,
                                unsigned log_pages) noexcept {
  Runs sum = unpack(entries[0]);
  for (std::uint64_t i = 1; i < count; ++i) {
    append(sum, i << log_pages, unpack(entries[i]), 1ULL << log_pages);
  }
  return sum;
}

// The same for 8 that are not all free, and below 2^21 pages: no run reaches over more than two.
// False if one is all free.
constexpr bool merge_apart(const Summary* entries, unsigned log_pages, Runs& sum) noexcept {
  constexpr std::uint64_t kMask = (1ULL << kLogMaxPackedPages) - 1;
  constexpr unsigned kEndShift = 2 * kLogMaxPackedPages;
  std::uint64_t max = entries[0].bits() & Summary::kMaxField;
  std::uint64_t joined = 0;
  for (unsigned i = 1; i < 8; ++i) {
    const std::uint64_t bits = entries[i].bits();
    max = std::max(max, bits & Summary::kMaxField);
    joined = std::max(joined, (entries[i - 1].bits() >> kEndShift) + (bits & kMask));
  }
  max >>= kLogMaxPackedPages;
  if (max == 1ULL << log_pages) return false;
  sum = {entries[0].bits() & kMask, std::max(max, joined), entries[7].bits() >> kEndShift};
  return true;
}

template <class Entry>
constexpr Runs merge_summaries(const Entry* entries, std::uint64_t count,
                               unsigned log_pages) noexcept {
  if constexpr (std::is_same_v<Entry, Summary>) {
    Runs sum;
    if (count == 8 && log_pages < kLogMaxPackedPages && merge_apart(entries, log_pages, sum)) {
      return sum;
    }
  }
  return merge_one_by_one(entries, count, log_pages);
}

// The longest run in an entry of `pages` pages that has free runs of `left` and `right` pages next
// to it.
constexpr std::uint64_t longest_across(std::uint64_t left, const Runs& r, std::uint64_t right,
                                       std::uint64_t pages) noexcept {
  if (r.max == pages) return left + pages + right;
  return std::max(r.max, std::max(left + r.start, r.end + right));
}

// Corrects the summary of a block of `count` entries after its entry k went from `old` to `now`,
// from the entries next to it. False, and unchanged, when only a merge can tell: the longest run
// has become shorter and no other entry holds one as long.
//
//   | ... free run of `left` pages |   entry k   | free run of `right` pages ... |
template <class Entry>
constexpr bool change_entry(Runs& block, const Entry* entries, unsigned k, unsigned count,
                            unsigned log_pages, const Runs& old, const Runs& now) noexcept {
  const std::uint64_t pages = 1ULL << log_pages;
  std::uint64_t left = 0;
  for (unsigned i = k; i-- > 0;) {
    const std::uint64_t end = unpack(entries[i]).end;
    left += end;
    if (end != pages) break;
  }
  std::uint64_t right = 0;
  for (unsigned i = k + 1; i < count; ++i) {
    const std::uint64_t start = unpack(entries[i]).start;
    right += start;
    if (start != pages) break;
  }
  const std::uint64_t longest = longest_across(left, now, right, pages);
  if (longest < block.max && longest_across(left, old, right, pages) == block.max) {
    unsigned i = 0;
    while (i < count && (i == k || unpack(entries[i]).max != block.max)) ++i;
    if (i == count) return false;
  }
  block.max = std::max(block.max, longest);
  if (left == k * pages) block.start = left + now.start + (now.start == pages ? right : 0);
  if (right == (count - 1 - k) * pages) {
    block.end = right + now.end + (now.end == pages ? left : 0);
  }
  return true;
}

}  // namespace ream::page
