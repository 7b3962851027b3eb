#include "page/window.h"

#include <gtest/gtest.h>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

// What the geometries come to; the numbers of the first are Go's.
static_assert(Go48::kChunkL1Entries == 8192 && Go48::kChunkL2Entries == 8192);
static_assert(Go48::kLevelLogPages == std::array<unsigned, 5>{21, 18, 15, 12, 9});
static_assert(Go48::level_shift(0) == 34 && Go48::level_shift(4) == 22);
static_assert(Go48::level_index_bits(0) == 14 && Go48::level_index_bits(4) == 26);
static_assert(Go48::kRanks == 9 && Go48::rank_entries(8) == 4);
static_assert(HeapWindow::kMaxAlignPages == 1ULL << 21 && HeapWindow::kTotalPages == 1ULL << 31);
static_assert(Narrow32::kChunkL1Bits == 0 && Narrow32::kTotalChunks == 1024);
static_assert(Tiny4::kTotalChunks == 4 && Tiny64::kTotalChunks == 64);
static_assert(Wide57::kPageIndexBits == 44);

template <class G>
class WindowTest : public ::testing::Test {
 protected:
  Window<G> window{test::TwinHeap<G>::default_base()};
  Addr base = test::TwinHeap<G>::default_base();
  Addr at(std::uint64_t offset) const { return base + Bytes(offset); }
};

using Geometries = ::testing::Types<Go48, HeapWindow, Pages4K, Pages16K, Pages64K, Wide57, Narrow32,
                                    Window1T, Tiny4, Tiny64>;
TYPED_TEST_SUITE(WindowTest, Geometries);

TYPED_TEST(WindowTest, ChunksAndPages) {
  using G = TypeParam;
  const auto& w = this->window;
  const std::uint64_t size = 1ULL << G::kAddressBits;
  for (const std::uint64_t offset :
       {std::uint64_t{0}, G::kPageBytes, G::kChunkBytes - 1, G::kChunkBytes,
        3 * G::kChunkBytes + 5 * G::kPageBytes + 7, size / 2, size - 1}) {
    const Addr a = this->at(offset);
    ASSERT_TRUE(w.contains(a));
    EXPECT_EQ(w.chunk_index(a).n, offset / G::kChunkBytes);
    EXPECT_EQ(w.chunk_page_index(a), offset % G::kChunkBytes / G::kPageBytes);
    EXPECT_EQ(w.chunk_base(w.chunk_index(a)), this->at(offset / G::kChunkBytes * G::kChunkBytes));
    EXPECT_EQ(w.addr_of(w.page_of(a)), this->at(offset / G::kPageBytes * G::kPageBytes));
    const ChunkIndex c = w.chunk_index(a);
    EXPECT_EQ((c.template l1<G>() << G::kChunkL2Bits) + c.template l2<G>(), c.n);
    EXPECT_LT(c.template l1<G>(), G::kChunkL1Entries);
    for (unsigned level = 0; level < G::kLevels; ++level) {
      const std::uint64_t i = w.off_addr_to_level_index(level, a);
      const std::uint64_t entry = G::kPageBytes << G::kLevelLogPages[level];
      EXPECT_EQ(i, offset / entry);
      EXPECT_EQ(w.level_index_to_off_addr(level, i), this->at(offset / entry * entry));
    }
  }
  EXPECT_FALSE(w.contains(this->at(size)));
  EXPECT_FALSE(w.contains(this->base - 1_B));
}

TYPED_TEST(WindowTest, SummaryRanges) {
  using G = TypeParam;
  const auto& w = this->window;
  for (unsigned level = 0; level < G::kLevels; ++level) {
    const std::uint64_t entry = G::kPageBytes << G::kLevelLogPages[level];
    const auto range = [&](std::uint64_t lo, std::uint64_t hi) {
      return w.addrs_to_summary_range(level, this->at(lo), this->at(hi));
    };
    EXPECT_EQ(range(0, 1), (EntryRange{0, 1}));
    EXPECT_EQ(range(0, entry), (EntryRange{0, 1}));
    EXPECT_EQ(range(0, entry + 1), (EntryRange{0, 2}));
    EXPECT_EQ(range(entry - 1, entry + 1), (EntryRange{0, 2}));
    EXPECT_EQ(range(entry, 2 * entry), (EntryRange{1, 2}));
    const std::uint64_t size = 1ULL << G::kAddressBits;
    EXPECT_EQ(range(size - 1, size).hi, size / entry);

    const std::uint64_t block = 1ULL << G::kLevelBits[level];
    const BlockRange wide = block_align_summary_range<G>(level, {block - 1, block + 1});
    EXPECT_EQ(wide.entries,
              (EntryRange{block > 1 ? 0 : block - 1, block > 1 ? 2 * block : block + 1}));
    EXPECT_EQ(wide.blocks, 2u);
    EXPECT_EQ(wide.bytes.n, 2 * block * 8);
  }
}

}  // namespace
}  // namespace ream::page
