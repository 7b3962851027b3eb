// The page heap of a machine of several memory nodes, over the made-up OS.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "heap/node_tables.h"
#include "heap/page_heap_model.h"
#include "support/effort.h"

namespace ream {
namespace {

using fake_os::Call;

constexpr std::size_t kNever = 1'000'000;

constexpr std::uint64_t window_of(std::uint64_t address) {
  return address >> page::HeapWindow::kAddressBits;
}

class PageHeapNodesTest : public testing::TestWithParam<unsigned> {
 protected:
  PageHeapNodesTest() {
    set_message_sink(os::write_stderr);
    start_again(count());
  }
  ~PageHeapNodesTest() override {
    fake_os::go_to_node(0);
    heap.reset();
    fake_os::reset();
  }

  static unsigned count() { return GetParam(); }

  // With no nodes the heap is never told of any.
  void start_again(unsigned nodes, const fake_os::Options& options = {}) {
    fake_os::go_to_node(0);
    heap.reset();
    fake_os::reset(options);
    heap = std::make_unique<PageHeap>();
    if (nodes > 0) heap->use_nodes(nodes_of(nodes));
  }

  Span* try_large(unsigned node, Bytes bytes) {
    fake_os::go_to_node(node);
    return heap->new_large_span(bytes, 16_B, false);
  }
  Span& large(unsigned node, Bytes bytes) {
    Span* span = try_large(node, bytes);
    EXPECT_NE(span, nullptr);
    return *span;
  }
  // Of one of the node's shards, asked for by a thread anywhere.
  Span& small(unsigned node, ClassIndex c, unsigned turn = 0) {
    const auto shard = static_cast<std::uint8_t>(node + count() * turn);
    Span* span = heap->new_small_span(c, shard);
    EXPECT_NE(span, nullptr);
    EXPECT_EQ(span->shard, shard);
    return *span;
  }
  unsigned node_of(const Span& span) { return heap->node_of(Addr(span.base)); }
  // Whether all of it is asked from the node that the heap takes it for.
  bool is_placed(const Span& span) {
    const int wanted = system_node_of(node_of(span));
    for (std::uint64_t at = 0; at < span.bytes(); at += kPageBytes) {
      if (fake_os::preferred_node(Addr(span.base + at)) != wanted) return false;
    }
    return true;
  }
  // Sanitizers leave too little address space: not every node gets its windows.
  bool parted() {
    for (unsigned n = 0; n < count(); ++n) {
      if (node_of(large(n, 64_KiB)) != n) return false;
    }
    return true;
  }

  std::unique_ptr<PageHeap> heap;
};
INSTANTIATE_TEST_SUITE_P(Nodes, PageHeapNodesTest, testing::Values(2u, 3u, 8u));

#define SKIP_UNLESS_PARTED() \
  if (!parted()) GTEST_SKIP() << "too little address space, as under sanitizers"

TEST_P(PageHeapNodesTest, SpansOfDifferentNodesShareNoWindow) {
  SKIP_UNLESS_PARTED();
  std::map<std::uint64_t, unsigned> node_of_window;
  for (unsigned round = 0; round < 20; ++round) {
    for (unsigned n = 0; n < count(); ++n) {
      fake_os::go_to_node(count() - 1 - n);  // which does not matter to a list
      const Span& s = small(n, static_cast<ClassIndex>(1 + round), round % 2);
      const Span& l = large(n, Bytes(100'000 * (round + 1)));
      for (const Span* span : {&s, &l}) {
        EXPECT_EQ(node_of(*span), n);
        EXPECT_TRUE(is_placed(*span));
        EXPECT_EQ(node_of_window.emplace(window_of(span->base), n).first->second, n);
      }
    }
  }
  EXPECT_EQ(node_of_window.size(), count());
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapNodesTest, FreePagesAreReusedByTheirNode) {
  SKIP_UNLESS_PARTED();
  std::vector<Span*> spans;
  std::vector<std::uint64_t> first;
  for (unsigned n = 0; n < count(); ++n) spans.push_back(&large(n, 3_MiB));
  for (Span* span : spans) {
    first.push_back(span->base);
    fake_os::go_to_node(0);  // whoever frees it
    heap->free_span(*span);
  }
  for (unsigned n = count(); n-- > 0;) EXPECT_EQ(large(n, 3_MiB).base, first[n]);
}

TEST_P(PageHeapNodesTest, ANodeThatCannotGrowTakesFromOthers) {
  SKIP_UNLESS_PARTED();
  heap->free_span(large(0, 32_MiB));
  fake_os::fail(Call::kMapAt, 1, kNever);
  fake_os::fail(Call::kMapAnywhere, 1, kNever);
  std::vector<Span*> got;
  while (Span* span = try_large(1, 4_MiB)) got.push_back(span);
  EXPECT_GE(got.size(), 8u);  // node 1 had less than one of its own
  EXPECT_TRUE(
      std::any_of(got.begin(), got.end(), [this](const Span* s) { return node_of(*s) == 0; }));
  for (const Span* span : got) EXPECT_TRUE(is_placed(*span));
  // Then its small spans, too.
  const unsigned asked = static_cast<unsigned>(fake_os::calls(Call::kMapAt));
  heap->free_span(*got.back());
  got.pop_back();
  for (ClassIndex c = 1; c < 10; ++c) EXPECT_NE(heap->new_small_span(c, 1), nullptr);
  EXPECT_LE(fake_os::calls(Call::kMapAt), asked + 20);  // it does not ask in vain for each
  EXPECT_TRUE(heap->is_valid());
  // When there is memory again and the others have none left, it lies at its own node.
  fake_os::succeed_again();
  Span& again = large(1, 40_MiB);
  EXPECT_EQ(node_of(again), 1u);
  for (Span* span : got) heap->free_span(*span);
  EXPECT_EQ(node_of(large(1, 64_KiB)), 1u);
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapNodesTest, WhereTheSystemChoosesTheFirstUserOwnsTheWindow) {
  fake_os::fail(Call::kMapAt, 1, kNever);
  const Span& first = large(1, 1_MiB);
  EXPECT_EQ(node_of(first), 1u);
  EXPECT_TRUE(is_placed(first));
  Span& other = large(0, 1_MiB);  // in the same window, as all that the system chooses
  EXPECT_EQ(node_of(other), window_of(other.base) == window_of(first.base) ? 1u : 0u);
  EXPECT_TRUE(is_placed(other));
  heap->free_span(other);
  EXPECT_TRUE(heap->is_valid());
}

// All that is left of the first node's window is another's.
TEST_P(PageHeapNodesTest, AFullWindowIsFollowedByOneOfNoOtherNode) {
  SKIP_UNLESS_PARTED();
  const std::uint64_t bits = page::HeapWindow::kAddressBits;
  const Addr begin(large(0, 64_KiB).base + (64 << 20));
  const Addr end(round_up(begin.n, std::uint64_t{1} << bits));
  void* const at = ::mmap(begin.ptr(), (end - begin).n, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at != begin.ptr()) GTEST_SKIP() << "no 16 TiB to be mapped, as under sanitizers";
  const Span& span = large(0, 200_MiB);
  EXPECT_TRUE(is_placed(span));
  if (count() < 8) {
    EXPECT_EQ(node_of(span), 0u);
    EXPECT_GT(window_of(span.base), window_of(begin.n));
  }
  EXPECT_TRUE(heap->is_valid());
  ::munmap(at, (end - begin).n);
}

TEST_P(PageHeapNodesTest, WhatMovesStaysAtItsNode) {
  SKIP_UNLESS_PARTED();
  Span& span = large(1, 4_MiB);
  static_cast<void>(large(1, 64_KiB));  // it cannot grow where it is
  fake_os::go_to_node(0);
  Span* to = heap->move_pages(span, 8_MiB, Bytes());
  ASSERT_NE(to, nullptr);
  EXPECT_EQ(node_of(*to), 1u);
  EXPECT_TRUE(is_placed(*to));
  heap->free_span(*to);
  const Span& again = large(1, 8_MiB);  // where it was: a mapping made anew meanwhile
  EXPECT_EQ(again.base, to->base);
  EXPECT_TRUE(is_placed(again));
}

TEST_P(PageHeapNodesTest, WhatMovesElsewhereIsPlacedThere) {
  SKIP_UNLESS_PARTED();
  heap->free_span(large(0, 32_MiB));
  Span& span = large(1, 3_MiB);
  static_cast<void>(large(1, 512_KiB));
  fake_os::fail(Call::kMapAt, 1, kNever);
  fake_os::fail(Call::kMapAnywhere, 1, kNever);
  Span* to = heap->move_pages(span, 8_MiB, Bytes());
  ASSERT_NE(to, nullptr);
  EXPECT_EQ(node_of(*to), 0u);
  EXPECT_TRUE(is_placed(*to));
}

TEST_P(PageHeapNodesTest, AKernelThatRefusesIsCountedAndNothingElse) {
  fake_os::fail(Call::kPreferNode, 1, kNever);
  Random random(3);
  PageHeapModel model(*heap, random);
  for (unsigned i = 0; i < 100; ++i) {
    fake_os::go_to_node(static_cast<unsigned>(random.below(count())));
    model.step();
  }
  model.expect_valid();
  EXPECT_EQ(heap->stats().placements_refused, fake_os::calls(Call::kPreferNode));
  EXPECT_GT(heap->stats().placements_refused, 0u);
}

TEST_P(PageHeapNodesTest, StatisticsOfNodesAddUp) {
  SKIP_UNLESS_PARTED();
  std::vector<Bytes> before;
  for (unsigned n = 0; n < count(); ++n) before.push_back(heap->stats().nodes[n].in_use);
  static_cast<void>(large(0, 5_MiB));
  const Span& s = small(1, 30);
  const PageHeapStats stats = heap->stats();
  EXPECT_EQ(stats.node_count, count());
  EXPECT_EQ(stats.nodes[0].in_use - before[0], 5_MiB);
  EXPECT_EQ(stats.nodes[1].in_use - before[1], Bytes(s.bytes()));
  Bytes in_use{};
  Bytes grown{};
  for (const NodeStats& node : stats.nodes) {
    in_use += node.in_use;
    grown += node.grown;
  }
  EXPECT_EQ(in_use, stats.in_use);
  EXPECT_EQ(grown, stats.grown);
}

TEST_P(PageHeapNodesTest, MemoryOfAllNodesGoesBack) {
  SKIP_UNLESS_PARTED();
  for (unsigned n = 0; n < count(); ++n) {
    Span& span = large(n, Bytes((n + 1) << 16));  // in sum less than what a heap keeps
    std::memset(Addr(span.base).ptr(), 1, span.bytes());
    heap->free_span(span);
  }
  EXPECT_TRUE(fake_os::purged().empty());
  EXPECT_GT(heap->purge_all(), Bytes());
  const PageHeapStats stats = heap->stats();
  EXPECT_EQ(stats.scavenged, stats.free);
  // The node with the most to give was first.
  EXPECT_EQ(heap->node_of(fake_os::purged().front().base), count() - 1);
}

TEST_P(PageHeapNodesTest, RandomSpansEqualTheModel) {
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    REAM_TRACE_SEED(seed);
    start_again(count());
    heap->set_huge_page_mode(seed == 1 ? HugePageMode::kAdaptive : HugePageMode::kAlways);
    Random random(seed);
    PageHeapModel model(*heap, random);
    for (unsigned i = 0; i < 200 * kEffort; ++i) {
      fake_os::go_to_node(static_cast<unsigned>(random.below(count())));
      model.step();
      if (random.one_in(8)) fake_os::advance_clock(random.below(PurgePace::kMinWindowNs));
      if (i % 40 == 0) model.expect_valid();
      if (HasFatalFailure()) return;
    }
    model.free_all();
    model.expect_valid();
    heap->purge_all();
    EXPECT_TRUE(heap->is_valid());
    EXPECT_EQ(heap->stats().in_use, Bytes());
    EXPECT_EQ(heap->stats().scavenged, heap->stats().grown);
  }
}

TEST_P(PageHeapNodesTest, AHardLimitHoldsOverAllNodes) {
  heap->limit().set(Bytes(), 24_MiB);
  Random random(9);
  PageHeapModel model(*heap, random);
  model.may_fail = true;
  for (unsigned i = 0; i < 2000 && model.refused < 5; ++i) {
    fake_os::go_to_node(static_cast<unsigned>(random.below(count())));
    model.step();
    ASSERT_LE(heap->limit().in_use(), 24_MiB + 8_MiB);  // metadata of a growth comes on top
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(model.refused, 0u);
  model.expect_valid();
  // What was free at one node makes room for another.
  model.free_all();
  EXPECT_TRUE(heap->make_room(4_MiB));
  EXPECT_NE(try_large(count() - 1, 4_MiB), nullptr);
}

// Operations on one heap, recorded: what is made, by whom, and where it came to lie.
struct Made {
  unsigned node = 0;
  Bytes bytes{};
  std::size_t frees = 0;  // index of the span freed instead, plus one
  std::uint64_t base = 0;
};

// Random ones on a heap of `count` nodes.
template <class Make, class Free>
std::vector<Made> record(unsigned count, std::uint64_t seed, Make make, Free free) {
  Random random(seed);
  std::vector<Made> made;
  std::vector<std::size_t> live;
  for (unsigned i = 0; i < 400 * kEffort; ++i) {
    if (!live.empty() && random.one_in(2)) {
      const std::size_t at = random.below(live.size());
      made.push_back({.node = made[live[at]].node, .frees = live[at] + 1});
      free(live[at]);
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
      continue;
    }
    Made m{.node = static_cast<unsigned>(random.below(count)),
           .bytes = Bytes(1 + random.of_any_magnitude(8 << 20))};
    m.base = make(m, made.size());
    live.push_back(made.size());
    made.push_back(m);
  }
  return made;
}

// The oracle is a heap of one node for each: it sees only that node's requests, and so each span
// must lie where it lies there, as seen from the part's begin.
TEST_P(PageHeapNodesTest, EachNodesPartIsAHeapOfItsOwn) {
  SKIP_UNLESS_PARTED();
  start_again(count());
  std::map<std::size_t, Span*> spans;
  const std::vector<Made> made = record(
      count(), 7,
      [&](const Made& m, std::size_t i) {
        spans[i] = &large(m.node, m.bytes);
        return spans[i]->base;
      },
      [&](std::size_t i) {
        heap->free_span(*spans[i]);
        spans.erase(i);
      });
  EXPECT_TRUE(heap->is_valid());
  for (unsigned n = 0; n < count(); ++n) {
    start_again(0);
    std::map<std::size_t, Span*> alone;
    std::uint64_t shift = 0;
    for (std::size_t i = 0; i < made.size(); ++i) {
      const Made& m = made[i];
      if (m.node != n) continue;
      if (m.frees != 0) {
        heap->free_span(*alone[m.frees - 1]);
        continue;
      }
      alone[i] = &large(0, m.bytes);
      if (shift == 0) shift = m.base - alone[i]->base;
      ASSERT_EQ(m.base - shift, alone[i]->base) << "node " << n << ", step " << i;
    }
  }
}

TEST_P(PageHeapNodesTest, AHeapOfOneNodeIsTheHeapThatKnowsNone) {
  std::vector<std::vector<Made>> runs;
  for (const unsigned nodes : {0u, 1u}) {
    start_again(nodes);
    std::map<std::size_t, Span*> spans;
    runs.push_back(record(
        count(), 11,
        [&](const Made& m, std::size_t i) {
          spans[i] = &large(m.node, m.bytes);
          return spans[i]->base;
        },
        [&](std::size_t i) { heap->free_span(*spans[i]); }));
    EXPECT_EQ(fake_os::calls(Call::kPreferNode), 0u);
    EXPECT_EQ(heap->stats().node_count, 1u);
  }
  ASSERT_EQ(runs[0].size(), runs[1].size());
  for (std::size_t i = 0; i < runs[0].size(); ++i) ASSERT_EQ(runs[0][i].base, runs[1][i].base);
}

}  // namespace
}  // namespace ream
