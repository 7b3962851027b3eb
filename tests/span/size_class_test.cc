// Every request against a search through all classes, and what the table promises of each class.
#include "span/size_class.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace ream {
namespace {

// The smallest class of at least `bytes` whose objects are all aligned, the slow way.
ClassIndex naive_class_of(std::size_t bytes, std::size_t alignment) {
  if (alignment > kPageBytes) return kLargeClass;  // spans begin on a page, no more
  for (std::size_t c = 1; c < kClassCount; ++c) {
    if (kSizeClasses[c].object_bytes >= bytes && kSizeClasses[c].object_bytes % alignment == 0)
      return static_cast<ClassIndex>(c);
  }
  return kLargeClass;
}

TEST(SizeClassTest, EveryRequestFindsTheSmallestClassThatHoldsIt) {
  ASSERT_EQ(kMaxSmallBytes, 256u << 10);
  for (std::size_t bytes = 0; bytes <= kMaxSmallBytes; ++bytes)
    ASSERT_EQ(class_of(bytes), naive_class_of(bytes, 1)) << bytes;
}

TEST(SizeClassTest, EveryAlignedRequestFindsTheSmallestClassThatIsAligned) {
  for (std::size_t alignment = 1; alignment <= 4 * kPageBytes; alignment *= 2) {
    // Every size near a class or a multiple of the alignment, and a stride through the rest.
    for (std::size_t bytes = 0; bytes <= kMaxSmallBytes; bytes += bytes < 4096 ? 1 : 61)
      ASSERT_EQ(class_of_aligned(bytes, alignment), naive_class_of(bytes, alignment))
          << bytes << " at " << alignment;
    for (std::size_t c = 1; c < kClassCount; ++c) {
      for (std::size_t around = 0; around < 3; ++around) {
        const std::size_t bytes = kSizeClasses[c].object_bytes - 1 + around;
        ASSERT_EQ(class_of_aligned(bytes, alignment), naive_class_of(bytes, alignment))
            << bytes << " at " << alignment;
      }
    }
  }
}

TEST(SizeClassTest, AlignedRequestsTooLargeForAnyClassAreLarge) {
  EXPECT_EQ(class_of_aligned(kMaxSmallBytes + 1, 16), kLargeClass);
  EXPECT_EQ(class_of_aligned(~std::size_t{0}, 16), kLargeClass);
  EXPECT_EQ(class_of_aligned(~std::size_t{0}, kPageBytes), kLargeClass);
  EXPECT_EQ(class_of_aligned(0, std::size_t{1} << 63), kLargeClass);
}

TEST(SizeClassTest, AtMostAnEighthIsLostFrom128BytesUpTailIncluded) {
  for (std::size_t bytes = 128; bytes <= kMaxSmallBytes; ++bytes) {
    const SizeClass& k = kSizeClasses[class_of(bytes)];
    const std::uint64_t span_bytes = std::uint64_t{k.span_pages} * kPageBytes;
    const std::uint64_t used = std::uint64_t{k.objects} * bytes;
    ASSERT_LE(used, span_bytes);
    ASSERT_LE((span_bytes - used) * 8, span_bytes) << bytes;
  }
}

TEST(SizeClassTest, SpansHoldWhatTheTableSays) {
  for (std::size_t c = 1; c < kClassCount; ++c) {
    const SizeClass& k = kSizeClasses[c];
    EXPECT_EQ(k.object_bytes % kMinAlignment, 0u) << c;
    EXPECT_EQ(k.objects, k.span_pages * kPageBytes / k.object_bytes) << c;
    EXPECT_GE(k.objects, 1u) << c;
    EXPECT_LE(k.span_pages, 32u) << c;  // a span's units fit in one word
  }
  EXPECT_EQ(kSizeClasses[kLargeClass].objects, 1u);
}

TEST(SizeClassTest, PowersOfTwoAreNaturallyAligned) {
  for (std::size_t bytes = 16; bytes <= kMaxSmallBytes; bytes *= 2)
    EXPECT_EQ(kSizeClasses[class_of(bytes)].object_bytes, bytes);
}

// What free() relies on: of all offsets in a span, exactly those of objects (and the first byte of
// the tail, whose state is never live) divide without a rest.
TEST(SizeClassTest, ReciprocalFindsExactlyTheFirstBytesOfObjects) {
  for (std::size_t c = 1; c < kClassCount; ++c) {
    const SizeClass& k = kSizeClasses[c];
    const std::uint64_t span_bytes = std::uint64_t{k.span_pages} * kPageBytes;
    for (std::uint64_t offset = 0; offset < span_bytes; ++offset) {
      const std::uint64_t index = offset * k.reciprocal >> 32;
      ASSERT_LE(index, k.objects) << "class " << c << " offset " << offset;
      ASSERT_EQ(index * k.object_bytes == offset, offset % k.object_bytes == 0)
          << "class " << c << " offset " << offset;
    }
  }
}

}  // namespace
}  // namespace ream
