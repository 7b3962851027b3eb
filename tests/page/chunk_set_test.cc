#include "page/chunk_set.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

template <class G>
class ChunkSetTest : public ::testing::Test {
 protected:
  ChunkSetTest() {
    EXPECT_TRUE(reservation.reserve(environment, ChunkSet<G>::reservation()));
    set.init(reservation);
  }
  ~ChunkSetTest() override { reservation.release(environment); }

  test::MetadataMemory memory;
  Environment environment = memory.environment();
  MetaReservation reservation;
  ChunkSet<G> set;
};

using Geometries = ::testing::Types<Go48, HeapWindow, Narrow32, Tiny4, Tiny64, Wide57>;
TYPED_TEST_SUITE(ChunkSetTest, Geometries);

TYPED_TEST(ChunkSetTest, FindsTheHighest) {
  EXPECT_TRUE(this->set.empty());
  // A stretch at the end of the window and one in its middle.
  const std::uint64_t end = TypeParam::kTotalChunks;
  const std::uint64_t n = std::min<std::uint64_t>(end / 2, 5000);
  Bytes committed{};
  ASSERT_TRUE(this->set.cover(this->environment, {end - n, end}, committed));
  Growth second{end / 2 - n, end / 2};
  second.has_above = true;
  second.first_above = end - n;
  ASSERT_TRUE(this->set.cover(this->environment, second, committed));
  EXPECT_TRUE(this->set.empty());

  std::mt19937_64 random(1);
  std::set<std::uint64_t> naive;
  for (unsigned step = 0; step < 4000 * test::kScale; ++step) {
    const std::uint64_t c = (random() % 2 != 0 ? end : end / 2) - 1 - random() % n;
    if (random() % 2 != 0) {
      this->set.insert(ChunkIndex{c});
      naive.insert(c);
    } else {
      this->set.erase(ChunkIndex{c});
      naive.erase(c);
    }
    ASSERT_EQ(this->set.contains(ChunkIndex{c}), naive.count(c) == 1);
    ASSERT_TRUE(this->set.is_valid(ChunkIndex{c}));
    ASSERT_EQ(this->set.empty(), naive.empty());
    if (!naive.empty()) {
      ASSERT_EQ(this->set.highest().n, *naive.rbegin());
    }
  }
}

}  // namespace
}  // namespace ream::page
