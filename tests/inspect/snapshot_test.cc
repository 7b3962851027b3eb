#include "inspect/snapshot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "heap/heap.h"

namespace ream::inspect {
namespace {

std::unique_ptr<Snapshot> collect_own() {
  const auto reader = std::make_unique<Reader>();
  auto snapshot = std::make_unique<Snapshot>();
  EXPECT_EQ(reader->open(own_memory(), Addr(&ream_root).n), OpenResult::kOk);
  EXPECT_TRUE(collect(*reader, 1234, *snapshot));
  return snapshot;
}

TEST(Snapshot, AgreesWithTheHeapsOwnStatistics) {
  std::minstd_rand random(7);
  std::vector<void*> objects;
  for (int i = 0; i < 20000; ++i) {
    objects.push_back(g_heap.allocate(random() % 3000 + 1));
    if (random() % 3 == 0) {
      std::swap(objects[random() % objects.size()], objects.back());
      g_heap.free(objects.back());
      objects.pop_back();
    }
  }
  for (int i = 0; i < 40; ++i) objects.push_back(g_heap.allocate(262145u + i * 9000u));
  SubHeap* const sub = g_heap.create_sub_heap("seen too", 0_B);
  for (unsigned i = 0; i < 2000; ++i) objects.push_back(g_heap.allocate_in(*sub, 1 + i * 225));
  for (unsigned i = 0; i < 500; ++i) {
    g_heap.free(objects.back());
    objects.pop_back();
  }
  const auto snapshot = collect_own();
  const Counters& c = snapshot->counters;
  const HeapStats s = g_heap.stats();
  EXPECT_EQ(c.pid, 1234u);
  EXPECT_EQ(c.page_shift, kPageShift);
  EXPECT_EQ(c.live, s.size.n);
  EXPECT_EQ(c.small_live, s.small_live.n);
  EXPECT_EQ(c.large_live, s.large_live.n);
  EXPECT_EQ(c.cached, s.cached.n);
  EXPECT_EQ(c.peak_in_use, s.max.n);
  EXPECT_EQ(c.grown, s.grown.n);
  EXPECT_EQ(c.in_use, s.in_use.n);
  EXPECT_EQ(c.free + c.scavenged, s.free.n);
  EXPECT_EQ(c.scavenged, s.scavenged.n);
  EXPECT_EQ(c.metadata, s.metadata.n);
  EXPECT_EQ(c.mallocs, s.nmalloc);
  EXPECT_EQ(c.frees, s.nfree);
  EXPECT_EQ(c.live_objects, s.live_objects);
  EXPECT_EQ(c.large_objects, s.large_objects);
  EXPECT_EQ(c.threads, s.threads);
  EXPECT_EQ(c.purged, s.purged_bytes);
  EXPECT_EQ(c.torn, 0u);
  EXPECT_EQ(c.mallocs, c.frees + c.live_objects);
  EXPECT_EQ(c.grown, c.in_use + c.free + c.scavenged);

  std::uint64_t spans = c.large_objects;
  for (const ClassRow& row : snapshot->classes) {
    const ClassStats k = g_heap.class_stats(static_cast<ClassIndex>(row.size_class));
    EXPECT_EQ(row.object_bytes, k.object_bytes);
    EXPECT_EQ(row.live, k.live);
    EXPECT_EQ(row.cached, k.cached);
    EXPECT_EQ(row.free, k.free);
    EXPECT_EQ(row.spans, k.spans);
    EXPECT_EQ(row.span_bytes, k.span_bytes);
    EXPECT_EQ(row.mallocs, k.nmalloc);
    EXPECT_EQ(row.frees, k.nfree);
    spans += row.spans;
  }
  EXPECT_EQ(c.spans, spans);

  ASSERT_EQ(snapshot->large.count, Snapshot::kMaxLarge);
  EXPECT_EQ(snapshot->large.items[0].requested_bytes, 262145u + 39 * 9000u);
  EXPECT_TRUE(
      std::is_sorted(snapshot->large.begin(), snapshot->large.end(),
                     [](const LargeRow& a, const LargeRow& b) { return a.bytes > b.bytes; }));
  for (void* p : objects) g_heap.free(p);
  g_heap.destroy_sub_heap(*sub);
}

// A large object over several chunks: every one of its pages is marked as large in the map.
TEST(Snapshot, MapShowsLargeObjectsAcrossChunks) {
  void* object = g_heap.allocate(21 << 20);
  const auto snapshot = collect_own();
  const std::uint64_t first = Addr(object).n >> kPageShift;
  const std::uint64_t last = first + g_heap.span_of(object)->pages;
  std::uint64_t large = 0;
  for (const MapGroup& group : snapshot->map) {
    if (group.first_page >= first && group.first_page < last) large += group.large;
  }
  if (snapshot->counters.map_log_pages == 0) {
    EXPECT_EQ(large, last - first);
  }
  EXPECT_GE(large << kPageShift, 20u << 20);
  g_heap.free(object);
}

MapGroup page_in_use(std::uint64_t page) {
  return {.first_page = page, .in_use = 1, .large = page % 2 == 0 ? 1u : 0u, .live_bytes = page};
}

void expect_invariants(const Snapshot& s) {
  const std::uint64_t size = 1ull << s.counters.map_log_pages;
  for (std::size_t i = 0; i < s.map.count; ++i) {
    const MapGroup& g = s.map.items[i];
    EXPECT_EQ(g.first_page % size, 0u);
    EXPECT_LE(std::uint64_t{g.in_use} + g.free + g.scavenged, size);
    EXPECT_LE(g.large, g.in_use);
    if (i > 0) {
      EXPECT_GT(g.first_page, s.map.items[i - 1].first_page);
    }
  }
}

TEST(Snapshot, MapGroupsDoubleWhenThereAreMany) {
  const auto s = std::make_unique<Snapshot>();
  std::minstd_rand random(3);
  std::uint64_t page = 100;
  std::uint64_t pages = 0;
  std::uint64_t bytes = 0;
  for (int i = 0; i < 100'000; ++i) {
    add_group(*s, page_in_use(page));
    ++pages;
    bytes += page;
    page += random() % 50 == 0 ? random() % 1000 + 1 : 1;
  }
  expect_invariants(*s);
  EXPECT_GT(s->counters.map_log_pages, 3u);
  EXPECT_GT(s->map.count, Snapshot::kMaxGroups / 3);
  std::uint64_t sum = 0;
  std::uint64_t sum_bytes = 0;
  for (const MapGroup& g : s->map) {
    sum += g.in_use;
    sum_bytes += g.live_bytes;
  }
  EXPECT_EQ(sum, pages);
  EXPECT_EQ(sum_bytes, bytes);
}

TEST(Snapshot, KeepsTheBiggestLargeObjects) {
  const auto s = std::make_unique<Snapshot>();
  std::vector<std::uint64_t> sizes(500);
  std::iota(sizes.begin(), sizes.end(), 1);
  std::shuffle(sizes.begin(), sizes.end(), std::minstd_rand(5));
  for (const std::uint64_t bytes : sizes) add_large(*s, {.base = bytes, .bytes = bytes});
  ASSERT_EQ(s->large.count, Snapshot::kMaxLarge);
  for (std::size_t i = 0; i < s->large.count; ++i) EXPECT_EQ(s->large.items[i].bytes, 500 - i);
}

TEST(Snapshot, ClearForgets) {
  const auto s = collect_own();
  clear(*s);
  EXPECT_EQ(s->counters, Counters());
  EXPECT_EQ(s->classes.count + s->map.count + s->large.count, 0u);
}

}  // namespace
}  // namespace ream::inspect
