#include "page/addr_ranges.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

AddrRange range(std::uint64_t base, std::uint64_t limit) { return {Addr(base), Addr(limit)}; }

class AddrRangesTest : public ::testing::Test {
 protected:
  AddrRangesTest() { set.init(environment); }
  ~AddrRangesTest() override { set.release(); }

  std::vector<AddrRange> all() const { return {set.begin(), set.end()}; }
  void expect(const std::vector<AddrRange>& want) const {
    EXPECT_EQ(all(), want);
    EXPECT_TRUE(set.is_valid());
  }

  test::MetadataMemory memory;
  Environment environment = memory.environment();
  AddrRanges set;
};

TEST_F(AddrRangesTest, Empty) {
  EXPECT_EQ(set.size(), 0u);
  EXPECT_FALSE(set.contains(Addr()));
  EXPECT_FALSE(set.find_addr_greater_equal(Addr()).found);
  EXPECT_EQ(set.remove_last(Bytes(5)), AddrRange());
  set.remove_greater_equal(Addr());
  EXPECT_EQ(memory.reservations(), 0u);
}

TEST_F(AddrRangesTest, EveryWayToCoalesce) {
  ASSERT_TRUE(set.add(range(512, 1024)));
  expect({range(512, 1024)});
  ASSERT_TRUE(set.add(range(1024, 2048)));  // above
  expect({range(512, 2048)});
  ASSERT_TRUE(set.add(range(256, 512)));  // below
  expect({range(256, 2048)});
  ASSERT_TRUE(set.add(range(4096, 8192)));  // apart, above
  ASSERT_TRUE(set.add(range(0, 128)));      // apart, below
  expect({range(0, 128), range(256, 2048), range(4096, 8192)});
  ASSERT_TRUE(set.add(range(2048, 4096)));  // both sides
  expect({range(0, 128), range(256, 8192)});
  ASSERT_TRUE(set.add(range(128, 256)));
  expect({range(0, 8192)});
  EXPECT_EQ(set.total_bytes(), Bytes(8192));
}

TEST_F(AddrRangesTest, RefusesWhatOverlapsAndWhatIsEmpty) {
  ASSERT_TRUE(set.add(range(100, 200)));
  for (const AddrRange& r : {range(100, 200), range(50, 101), range(199, 300), range(120, 130),
                             range(0, 1000), range(150, 150), range(20, 10)}) {
    EXPECT_FALSE(set.add(r));
  }
  expect({range(100, 200)});
}

TEST_F(AddrRangesTest, RemoveLastAndAboveAnAddress) {
  for (std::uint64_t i = 0; i < 5; ++i) ASSERT_TRUE(set.add(range(100 * i, 100 * i + 60)));
  EXPECT_EQ(set.remove_last(Bytes(10)), range(450, 460));
  EXPECT_EQ(set.remove_last(Bytes(1000)), range(400, 450));
  set.remove_greater_equal(Addr(330));
  expect({range(0, 60), range(100, 160), range(200, 260), range(300, 330)});
  set.remove_greater_equal(Addr(300));
  set.remove_greater_equal(Addr(180));
  expect({range(0, 60), range(100, 160)});
  set.remove_greater_equal(Addr());
  expect({});
}

TEST_F(AddrRangesTest, SubtractAndTrim) {
  EXPECT_EQ(range(10, 20).subtract(range(0, 30)), AddrRange());
  EXPECT_EQ(range(10, 20).subtract(range(0, 15)), range(15, 20));
  EXPECT_EQ(range(10, 20).subtract(range(15, 30)), range(10, 15));
  EXPECT_EQ(range(10, 20).subtract(range(20, 30)), range(10, 20));
  EXPECT_EQ(range(10, 20).subtract(range(0, 10)), range(10, 20));
  EXPECT_EQ(range(10, 20).remove_greater_equal(Addr(5)), AddrRange());
  EXPECT_EQ(range(10, 20).remove_greater_equal(Addr(12)), range(10, 12));
  EXPECT_EQ(range(10, 20).remove_greater_equal(Addr(25)), range(10, 20));
}

// Against a set of numbers.
TEST_F(AddrRangesTest, RandomOperations) {
  std::mt19937_64 random(1);
  constexpr std::uint64_t kEnd = 300;
  std::set<std::uint64_t> naive;
  for (unsigned step = 0; step < 1500 * test::kScale; ++step) {
    const std::uint64_t base = random() % kEnd;
    const std::uint64_t limit = base + 1 + random() % 12;
    const bool free = std::none_of(naive.begin(), naive.end(),
                                   [&](std::uint64_t x) { return base <= x && x < limit; });
    ASSERT_EQ(set.overlaps(range(base, limit)), !free);
    switch (random() % 8) {
      case 0: {
        const auto n = std::distance(naive.lower_bound(base), naive.lower_bound(limit));
        ASSERT_EQ(set.contains(range(base, limit)), static_cast<std::uint64_t>(n) == limit - base);
        break;
      }
      case 1:
      case 2:
      case 3:
        ASSERT_TRUE(set.remove(range(base, limit)));
        naive.erase(naive.lower_bound(base), naive.lower_bound(limit));
        break;
      default:
        ASSERT_EQ(set.add(range(base, limit)), free);
        for (std::uint64_t x = base; free && x < limit; ++x) naive.insert(x);
    }
    ASSERT_TRUE(set.is_valid());
    ASSERT_EQ(set.total_bytes().n, naive.size());
    const std::uint64_t at = random() % (kEnd + 20);
    ASSERT_EQ(set.contains(Addr(at)), naive.count(at) == 1);
    const auto next = naive.lower_bound(at);
    ASSERT_EQ(set.find_addr_greater_equal(Addr(at)).found, next != naive.end());
    if (next != naive.end()) {
      ASSERT_EQ(set.find_addr_greater_equal(Addr(at)).addr.n, *next);
    }
  }
}

TEST_F(AddrRangesTest, ThousandsOfRangesAndTheirCopy) {
  std::vector<std::uint64_t> bases(5000);
  for (std::uint64_t i = 0; i < bases.size(); ++i) bases[i] = i * 10;
  std::shuffle(bases.begin(), bases.end(), std::mt19937_64(2));
  for (const std::uint64_t b : bases) ASSERT_TRUE(set.add(range(b, b + 9)));
  EXPECT_EQ(set.size(), bases.size());
  EXPECT_TRUE(set.is_valid());
  for (const std::uint64_t b : bases) {
    ASSERT_EQ(set.find_succ(Addr(b + 9)), b / 10 + 1);
    ASSERT_FALSE(set.contains(Addr(b + 9)));
    ASSERT_TRUE(set.contains(Addr(b + 8)));
  }
  AddrRanges copy;
  copy.init(environment);
  ASSERT_TRUE(set.clone_into(copy));
  for (const std::uint64_t b : bases) ASSERT_TRUE(set.add(range(b + 9, b + 10)));
  EXPECT_EQ(set.size(), 1u);
  EXPECT_EQ(copy.size(), bases.size());
  EXPECT_TRUE(copy.is_valid());
  copy.release();
}

TEST_F(AddrRangesTest, NoMemoryLeavesTheSetAsItWas) {
  memory.reserves_left = 0;
  EXPECT_FALSE(set.add(range(0, 1)));
  expect({});
  memory.reserves_left = 1;
  std::uint64_t added = 0;
  while (set.add(range(10 * added, 10 * added + 5))) ++added;
  EXPECT_EQ(set.size(), added);
  EXPECT_TRUE(set.is_valid());
  EXPECT_FALSE(set.remove(range(2, 3)));  // a split needs room
  EXPECT_TRUE(set.add(range(5, 10)));     // coalescing does not
  memory.reserves_left = ~0ULL;
  memory.commits_left = 0;
  EXPECT_TRUE(set.add(range(10 * added, 10 * added + 5)));
  EXPECT_FALSE(set.add(range(10 * added + 7, 10 * added + 8)));
  EXPECT_EQ(memory.reservations(), 1u);
  memory.commits_left = ~0ULL;
  EXPECT_TRUE(set.add(range(10 * added + 7, 10 * added + 8)));
  EXPECT_TRUE(set.is_valid());
}

}  // namespace
}  // namespace ream::page
