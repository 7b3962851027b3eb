// Blocks of the metadata pool against a model of who has what, and a system that has no more.
#include "span/meta_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

#include "base/bits.h"
#include "support/effort.h"
#include "support/metadata_source.h"
#include "support/random.h"

namespace ream {
namespace {

class MetaPoolTest : public testing::Test {
 protected:
  void* allocate(std::size_t bytes) { return pool.allocate(bytes, MetadataSource::map); }

  MetadataSource source;
  MetaPool pool;
};

bool all_bytes(const void* block, std::size_t bytes, unsigned char value) {
  const auto* p = static_cast<const unsigned char*>(block);
  for (std::size_t i = 0; i < bytes; ++i) {
    if (p[i] != value) return false;
  }
  return true;
}

TEST_F(MetaPoolTest, NewBlocksReadAsZeroAndAreAligned) {
  for (std::size_t bytes = 1; bytes <= MetaPool::kMaxPooledBytes; bytes += 7) {
    void* block = allocate(bytes);
    ASSERT_NE(block, nullptr);
    EXPECT_TRUE(is_aligned(Addr(block).n, MetaPool::kUnitBytes));
    EXPECT_TRUE(all_bytes(block, bytes, 0));
    std::memset(block, 0xff, round_up(bytes, MetaPool::kUnitBytes));  // the next one is not touched
  }
}

TEST_F(MetaPoolTest, ABlockIsOnlyReusedForItsSize) {
  void* small = allocate(64);
  void* middle = allocate(200);
  pool.free(small, 64);
  pool.free(middle, 200);
  for (const std::size_t other : {65u, 128u, 129u, 192u, 257u, 1024u}) {
    void* block = allocate(other);
    EXPECT_NE(block, small);
    EXPECT_NE(block, middle);
  }
  EXPECT_EQ(allocate(1), small);     // 64, rounded
  EXPECT_EQ(allocate(256), middle);  // 200, rounded
}

TEST_F(MetaPoolTest, TheLastFreedIsReusedFirst) {
  void* a = allocate(300);
  void* b = allocate(300);
  pool.free(a, 300);
  pool.free(b, 300);
  EXPECT_EQ(allocate(300), b);
  EXPECT_EQ(allocate(300), a);
}

TEST_F(MetaPoolTest, BlocksNeverOverlapAndKeepTheirContents) {
  struct Block {
    std::size_t bytes;
    unsigned char fill;
  };
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    REAM_TRACE_SEED(seed);
    Random random(seed);
    MetaPool fresh;
    std::map<std::uint64_t, Block> live;
    std::uint64_t used = 0;
    for (unsigned i = 0; i < 4000 * kEffort; ++i) {
      if (live.empty() || random.below(100) < 55) {
        const std::size_t bytes = random.between(1, MetaPool::kMaxPooledBytes);
        const std::size_t rounded = round_up(bytes, MetaPool::kUnitBytes);
        void* p = fresh.allocate(bytes, MetadataSource::map);
        ASSERT_NE(p, nullptr);
        const std::uint64_t begin = Addr(p).n;
        const auto above = live.lower_bound(begin);
        ASSERT_TRUE(above == live.end() || begin + rounded <= above->first);
        ASSERT_TRUE(above == live.begin() ||
                    std::prev(above)->first +
                            round_up(std::prev(above)->second.bytes, MetaPool::kUnitBytes) <=
                        begin);
        const auto fill = static_cast<unsigned char>(random.next());
        std::memset(p, fill, bytes);
        live[begin] = {bytes, fill};
        used += rounded;
      } else {
        auto it = live.lower_bound(live.begin()->first +
                                   random.below(live.rbegin()->first - live.begin()->first + 1));
        ASSERT_TRUE(all_bytes(Addr(it->first).ptr(), it->second.bytes, it->second.fill));
        fresh.free(Addr(it->first).ptr(), it->second.bytes);
        used -= round_up(it->second.bytes, MetaPool::kUnitBytes);
        live.erase(it);
      }
      ASSERT_EQ(fresh.used_bytes(), Bytes(used));
      ASSERT_LE(fresh.used_bytes(), fresh.mapped_bytes());
    }
  }
}

TEST_F(MetaPoolTest, NullWhenThereIsNoMemoryAndGoodAgainLater) {
  source.calls_left = 0;
  EXPECT_EQ(allocate(64), nullptr);
  EXPECT_EQ(pool.mapped_bytes(), Bytes());
  EXPECT_EQ(pool.used_bytes(), Bytes());

  source.calls_left = 1;
  std::vector<void*> blocks;
  while (void* block = allocate(1000)) blocks.push_back(block);
  ASSERT_FALSE(blocks.empty());
  EXPECT_EQ(pool.used_bytes(), Bytes(blocks.size() * 1024));
  EXPECT_LE(pool.used_bytes(), pool.mapped_bytes());
  EXPECT_EQ(allocate(1000), nullptr);

  // What is freed serves its size without the system.
  pool.free(blocks.back(), 1000);
  EXPECT_EQ(allocate(1000), blocks.back());
  EXPECT_EQ(allocate(1000), nullptr);
  source.calls_left = 1;
  EXPECT_NE(allocate(1000), nullptr);
}

TEST_F(MetaPoolTest, AsksForLessWhereMuchIsRefused) {
  ASSERT_NE(allocate(64), nullptr);
  const Bytes usual = source.asked.back();
  MetaPool modest;
  source.largest = Bytes(usual.n - 1);
  void* first = modest.allocate(1024, MetadataSource::map);
  ASSERT_NE(first, nullptr);
  EXPECT_LT(modest.mapped_bytes(), usual);
  // And no further than what was got.
  for (Bytes used = 1_KiB; used < modest.mapped_bytes(); used += 1_KiB) {
    const std::size_t asked = source.asked.size();
    ASSERT_NE(modest.allocate(1024, MetadataSource::map), nullptr);
    ASSERT_EQ(source.asked.size(), asked);
  }
}

// A larger block has no free list: it must not be taken for another's.
TEST_F(MetaPoolTest, TooLargeABlockEndsTheProgram) {
  void* largest = allocate(MetaPool::kMaxPooledBytes);
  ASSERT_NE(largest, nullptr);
  pool.free(largest, MetaPool::kMaxPooledBytes);
  EXPECT_EQ(allocate(MetaPool::kMaxPooledBytes), largest);
  EXPECT_DEATH(static_cast<void>(allocate(MetaPool::kMaxPooledBytes + 1)), "");
  EXPECT_DEATH(static_cast<void>(allocate(0)), "");
}

TEST_F(MetaPoolTest, ManyBlocksTakeFewCallsOfTheSystem) {
  for (int i = 0; i < 10000; ++i) ASSERT_NE(allocate(128), nullptr);
  EXPECT_LE(source.asked.size(), 4u);
}

}  // namespace
}  // namespace ream
