// Size classes: requests up to kMaxSmallBytes are served from spans that are cut into objects of
// one size. A class is named by a small index; class 0 is "large": a span with a single object, of
// any number of pages.
//
// Every class is a multiple of 16 bytes; a power of two is naturally aligned, since spans begin on
// a page. So an aligned request is served by the first class whose size is a multiple of the
// alignment.
//
// Thread safety: constants.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/annotate.h"
#include "base/bits.h"
#include "base/check.h"
#include "span/size_class_table.h"

namespace ream {

using ClassIndex = std::uint8_t;

inline constexpr unsigned kPageShift = 13;
inline constexpr std::size_t kPageBytes = std::size_t{1} << kPageShift;
inline constexpr std::size_t kMinAlignment = 16;

struct SizeClass {
  std::uint32_t object_bytes;
  std::uint32_t span_pages;
  std::uint32_t objects;     // in a span
  std::uint32_t reciprocal;  // ceil(2^32 / object_bytes): offset * reciprocal >> 32 = object index
};

inline constexpr ClassIndex kLargeClass = 0;

inline constexpr auto kSizeClasses = std::to_array<SizeClass>({{0, 0, 1, 0},  // large
#define REAM_ROW(index, bytes, pages, objects, inverse) {bytes, pages, objects, inverse},
                                                               REAM_SIZE_CLASSES(REAM_ROW)
#undef REAM_ROW
});
inline constexpr std::size_t kClassCount = kSizeClasses.size();
inline constexpr std::size_t kMaxSmallBytes = kSizeClasses.back().object_bytes;

// Requests up to here find their class in a table of one byte for each 16 bytes of size.
inline constexpr std::size_t kTableMaxBytes = 1024;

namespace internal {

consteval auto make_class_table() {
  std::array<ClassIndex, kTableMaxBytes / 16 + 1> table{};
  for (std::size_t slot = 0; slot < table.size(); ++slot) {
    ClassIndex c = 1;
    while (kSizeClasses[c].object_bytes < slot * 16) ++c;
    table[slot] = c;
  }
  return table;
}

inline constexpr auto kClassTable = make_class_table();

// Class of the first size above 128; eight classes a doubling from there.
inline constexpr unsigned kFirstStepped = 9;

}  // namespace internal

// The class that serves `bytes`. REQUIRES: kTableMaxBytes < bytes <= kMaxSmallBytes.
constexpr ClassIndex class_of_medium(std::size_t bytes) noexcept {
  const std::uint64_t last = bytes - 1;
  const unsigned order = log2_floor(last);  // bytes in (2^order, 2^(order+1)]
  const std::uint64_t step = (last >> (order - 3)) & 7;
  return static_cast<ClassIndex>(internal::kFirstStepped + (order - 7) * 8 + step);
}

// The smallest class of at least `bytes`. REQUIRES: bytes <= kMaxSmallBytes. 0 is served as 1.
constexpr ClassIndex class_of(std::size_t bytes) noexcept {
  if (bytes <= kTableMaxBytes) return internal::kClassTable[(bytes + 15) / 16];
  return class_of_medium(bytes);
}

// The smallest class of at least `bytes` whose objects are all aligned to `alignment`, or
// kLargeClass if none is. REQUIRES: alignment is a power of two.
constexpr ClassIndex class_of_aligned(std::size_t bytes, std::size_t alignment) noexcept {
  if (bytes > kMaxSmallBytes || alignment > kPageBytes) return kLargeClass;
  const std::size_t rounded = round_up(bytes == 0 ? 1 : bytes, alignment);
  if (rounded > kMaxSmallBytes) return kLargeClass;
  ClassIndex c = class_of(rounded);
  while (!is_aligned(kSizeClasses[c].object_bytes, alignment))
    ++c;  // the next power of two at last
  return c;
}

namespace internal {

consteval bool classes_are_sound() {
  std::uint32_t previous = 0;
  for (std::size_t c = 1; c < kClassCount; ++c) {
    const SizeClass k = kSizeClasses[c];
    const std::uint64_t span_bytes = std::uint64_t{k.span_pages} * kPageBytes;
    if (k.object_bytes <= previous || k.object_bytes % kMinAlignment != 0) return false;
    if (k.objects != span_bytes / k.object_bytes) return false;
    // At most 12.5 % of a span is lost from 128 bytes up.
    if (k.object_bytes >= 128 &&
        (span_bytes - std::uint64_t{k.objects} * (previous + 1)) * 8 > span_bytes)
      return false;
    // The reciprocal finds every object from its first byte.
    for (std::uint64_t i = 0; i < k.objects; ++i) {
      if ((i * k.object_bytes * k.reciprocal) >> 32 != i) return false;
    }
    // And never leads past the slot behind the last object, wherever in the span it is asked.
    if (((span_bytes - 1) * k.reciprocal) >> 32 > k.objects) return false;
    if (class_of(previous + 1) != c || class_of(k.object_bytes) != c) return false;
    previous = k.object_bytes;
  }
  return true;
}

static_assert(classes_are_sound());
static_assert(kClassCount <= 128);

}  // namespace internal
}  // namespace ream
