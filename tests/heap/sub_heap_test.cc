// One sub-heap: its shards, and what its lists and its budget come to.
#include "heap/sub_heap.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "heap/heap.h"
#include "heap/page_units.h"
#include "support/no_worker.h"

namespace ream {
namespace {

PageHeap& pages() { return g_heap.page_heap(); }

class SubHeapTest : public testing::Test {
 protected:
  ~SubHeapTest() override {
    EXPECT_TRUE(sub->is_valid());
    g_heap.destroy_sub_heap(*sub);
  }
  std::vector<Taken> take(std::size_t bytes, std::size_t count) {
    std::vector<Taken> taken;
    Taken one{};
    while (taken.size() < count && sub->take(pages(), class_of(bytes), one)) taken.push_back(one);
    return taken;
  }
  void give(const Taken& taken) { sub->give(pages(), *g_heap.span_of(taken.object), taken); }

  SubHeap* sub = g_heap.create_sub_heap("test", 1_MiB);
};

TEST_F(SubHeapTest, ChargesWholeSpans) {
  const ClassIndex c = class_of(1000);
  const std::uint64_t span_bytes = std::uint64_t{kSizeClasses[c].span_pages} * kPageBytes;
  const auto taken = take(1000, kSizeClasses[c].objects + 1);
  EXPECT_EQ(sub->budget.used(), Bytes(2 * span_bytes));
  const CentralStats stats = sub->stats(c);
  EXPECT_EQ(stats.spans, 2u);
  EXPECT_EQ(stats.taken, taken.size());
  for (const Taken& t : taken) give(t);
  EXPECT_EQ(sub->budget.used(), Bytes(span_bytes));  // one stays, for the next
  EXPECT_EQ(sub->release_empty(pages()), Bytes(span_bytes));
  EXPECT_EQ(sub->budget.used(), 0_B);
}

TEST_F(SubHeapTest, EndsAtItsBudgetAndGoesOnWithWhatIsGiven) {
  const auto taken = take(100, SIZE_MAX);
  EXPECT_EQ(sub->budget.used(), 1_MiB);
  EXPECT_GE(taken.size(), (1u << 20) / 112 * 9 / 10);
  Taken one{};
  EXPECT_FALSE(sub->take(pages(), class_of(100), one));
  give(taken[7]);
  ASSERT_TRUE(sub->take(pages(), class_of(100), one));
  EXPECT_EQ(one.object, taken[7].object);
  EXPECT_FALSE(sub->take(pages(), class_of(3000), one));
}

// A thread that finds its list locked moves on; objects go back to where they come from, and at
// the budget every shard is asked.
TEST_F(SubHeapTest, AThreadMovesToAnotherShardWhenItsListIsLocked) {
  std::vector<Taken> taken;
  std::set<unsigned> shards;
  const auto take_one = [&] {
    Taken one{};
    ASSERT_TRUE(sub->take(pages(), class_of(100), one));
    taken.push_back(one);
    shards.insert(g_heap.span_of(one.object)->shard);
  };
  take_one();
  for (unsigned i = 0; i < 2 * SubHeap::kShards; ++i) {
    // The list that this thread came to last.
    const unsigned shard = g_heap.span_of(taken.back().object)->shard & ~unsigned{kOwnedShards};
    CentralList* list = sub->list(shard * static_cast<std::uint32_t>(kClassCount) + class_of(100));
    ASSERT_NE(list, nullptr);
    std::atomic<int> step{0};
    std::thread holder([&] {
      os::MutexLock hold(list->lock());
      step = 1;
      while (step.load() != 2) std::this_thread::yield();
    });
    while (step.load() != 1) std::this_thread::yield();
    take_one();
    step = 2;
    holder.join();
  }
  EXPECT_EQ(shards.size(), SubHeap::kShards);
  for (const unsigned shard : shards) EXPECT_NE(shard & kOwnedShards, 0u);
  const auto rest = take(100, SIZE_MAX);
  EXPECT_EQ(sub->budget.used(), 1_MiB);
  for (const Taken& t : taken) give(t);
  EXPECT_EQ(take(100, SIZE_MAX).size(), taken.size());
}

TEST_F(SubHeapTest, CallbacksAreMadeOnce) {
  EXPECT_EQ(sub->callbacks(), nullptr);
  PressureCallbacks* table = sub->make_callbacks(pages());
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(sub->make_callbacks(pages()), table);
  EXPECT_EQ(sub->callbacks(), table);
}

TEST_F(SubHeapTest, AChildCountsAnewWhatIsCharged) {
  const auto taken = take(1000, 100);
  const Bytes used = sub->budget.used();
  ASSERT_TRUE(sub->budget.charge(8_KiB));  // a thread that is gone
  EXPECT_FALSE(sub->is_valid());
  sub->after_fork_in_child();
  EXPECT_EQ(sub->budget.used(), used);
}

}  // namespace
}  // namespace ream
