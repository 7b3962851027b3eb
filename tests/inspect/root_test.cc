#include "inspect/root.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/config.h"
#include "heap/heap.h"

namespace ream::inspect {
namespace {

TEST(Root, SaysWhatItIs) {
  EXPECT_EQ(std::memcmp(ream_root.magic, "REAMROOT", 8), 0);
  EXPECT_EQ(ream_root.version, 1u);
  EXPECT_EQ(ream_root.bytes, sizeof(RootV1));
  EXPECT_STREQ(ream_root.library_version, kVersion);
  EXPECT_EQ(ream_root.heap, &g_heap);
}

TEST(Root, Geometry) {
  EXPECT_EQ(ream_root.page_shift, kPageShift);
  EXPECT_EQ(ream_root.chunk_log_pages, 9u);
  EXPECT_EQ(ream_root.window_count * (1ull << (ream_root.window_log_bytes - 32)), 1ull << 16);
  EXPECT_EQ(ream_root.class_count, kClassCount);
}

// Every field lies where version 1 has it: one number off and old readers read nonsense.
TEST(Root, FieldsAreContiguous) {
  static_assert(sizeof(RootV1) == 360 && RootV1::kFirstBytes == 352);
  EXPECT_EQ(offsetof(RootV1, heap_windows), 64u);
  EXPECT_EQ(offsetof(RootV1, window_committed), 108u);
  EXPECT_EQ(offsetof(RootV1, chunk_leased), 124u);
  EXPECT_EQ(offsetof(RootV1, leaf_pages), 140u);
  EXPECT_EQ(offsetof(RootV1, state_live), 192u);
  EXPECT_EQ(offsetof(RootV1, heap_shards), 240u);
  EXPECT_EQ(offsetof(RootV1, bin_frees), 280u);
  EXPECT_EQ(offsetof(RootV1, heap_leaf_count), 316u);
  EXPECT_EQ(offsetof(RootV1, state_live_owned), 352u);
  EXPECT_EQ(offsetof(RootV1, heap_sub_heap_pool), 356u);
}

// Offsets lead where the heap's own functions say.
TEST(Root, OffsetsAgreeWithTheHeap) {
  void* object = g_heap.allocate(100);
  const auto* heap = static_cast<const unsigned char*>(ream_root.heap);
  const auto* page_map =
      reinterpret_cast<const PageMap::Leaf* const*>(heap + ream_root.heap_map_root);
  EXPECT_EQ(page_map, g_heap.page_heap().map().root());
  const WindowAlloc* first = nullptr;
  for (std::size_t i = 0; i < PageHeap::kWindows; ++i) {
    EXPECT_EQ(heap[ream_root.heap_ready + i] != 0, g_heap.page_heap().window(i) != nullptr);
    if (first == nullptr && (first = g_heap.page_heap().window(i)) != nullptr) {
      EXPECT_EQ(
          static_cast<const void*>(heap + ream_root.heap_windows + i * ream_root.window_stride),
          static_cast<const void*>(first));
    }
  }
  ASSERT_NE(first, nullptr);
  std::uint64_t caches = 0;
  std::memcpy(&caches, heap + ream_root.heap_cache_count, sizeof(caches));
  EXPECT_EQ(caches, g_heap.caches().count());
  g_heap.free(object);
}

}  // namespace
}  // namespace ream::inspect
