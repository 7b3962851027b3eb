#include "base/units.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace ream {
namespace {

// Units do not mix, and nothing becomes one by itself.
static_assert(!std::is_convertible_v<std::uint64_t, Bytes>);
static_assert(!std::is_convertible_v<Bytes, Pages>);
static_assert(!std::is_constructible_v<Bytes, Pages>);
static_assert(!std::is_constructible_v<Pages, Bytes>);
static_assert(!std::is_convertible_v<std::uint64_t, Addr>);
static_assert(!std::is_constructible_v<Addr, Bytes>);

template <class A, class B>
concept Addable = requires(A a, B b) { a + b; };
static_assert(Addable<Addr, Bytes> && Addable<Bytes, Bytes> && Addable<Pages, Pages>);
static_assert(!Addable<Addr, Addr> && !Addable<Addr, Pages> && !Addable<Bytes, Pages>);

static_assert(sizeof(Bytes) == 8 && std::is_trivially_copyable_v<Bytes>);

TEST(Units, Arithmetic) {
  EXPECT_EQ(3_KiB + 1_KiB, Bytes(4096));
  EXPECT_EQ(1_MiB - 1_KiB, Bytes(1047552));
  EXPECT_EQ(2_GiB * 512, 1_TiB);
  EXPECT_LT(1_pages, 2_pages);
  Bytes sum;
  sum += 5_B;
  sum -= 2_B;
  EXPECT_EQ(sum, 3_B);
}

TEST(Units, Addresses) {
  int object = 0;
  const Addr a(&object);
  EXPECT_EQ(a.ptr(), &object);
  EXPECT_EQ(Addr(0x1000) + 16_B - 32_B, Addr(0xff0));
  EXPECT_EQ(Addr(0x1000) - Addr(0xf00), 256_B);
  EXPECT_LT(Addr(), Addr(1ULL));
}

}  // namespace
}  // namespace ream
