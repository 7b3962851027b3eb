// The whole heap of a process on a machine of several memory nodes, over the made-up OS. Built once
// for each number of nodes in tests/heap/CMakeLists.txt, since a process has one heap.
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <barrier>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "heap/heap.h"
#include "heap/heap_start.h"
#include "heap/node_tables.h"
#include "os/child.h"
#include "os/fake_os.h"
#include "os/process.h"
#include "support/effort.h"
#include "support/no_worker.h"
#include "support/random.h"

namespace ream {
namespace {

constexpr unsigned kNodes = REAM_TEST_NODES;

const bool g_has_nodes = [] {
  start_heap();
  g_heap.use_nodes(nodes_of(kNodes));
  return true;
}();

unsigned node_of(const void* object) { return g_heap.page_heap().node_of(Addr(object)); }

template <class Body>
void on_node(unsigned node, Body body) {
  std::thread([&] {
    fake_os::go_to_node(node);
    body();
  }).join();
}

class HeapNodesTest : public testing::Test {
 protected:
  // Sanitizers leave too little address space: not every node gets its windows.
  void SetUp() override {
    ASSERT_TRUE(g_has_nodes);
    for (unsigned n = 0; n < kNodes; ++n) {
      on_node(n, [&] {
        void* const large = g_heap.allocate(1 << 20);
        parted_ = parted_ && node_of(large) == n;
        g_heap.free(large);
      });
    }
    if (!parted_) GTEST_SKIP() << "too little address space, as under sanitizers";
  }
  ~HeapNodesTest() override { EXPECT_TRUE(g_heap.is_valid()); }

  bool parted_ = true;
};

TEST_F(HeapNodesTest, EachThreadGetsMemoryOfItsNode) {
  for (unsigned n = kNodes; n-- > 0;) {
    on_node(n, [n] {
      std::vector<void*> objects;
      for (std::size_t c = 1; c < kClassCount; ++c) {
        for (unsigned i = 0; i < 50; ++i)
          objects.push_back(g_heap.allocate(kSizeClasses[c].object_bytes));
      }
      for (unsigned i = 1; i < 20; ++i) {
        objects.push_back(g_heap.allocate(i << 18));
        objects.push_back(g_heap.allocate_aligned(1 << 16, 1 << 21));
        objects.push_back(g_heap.allocate_zeroed(i << 16));
      }
      for (void* object : objects) {
        ASSERT_EQ(node_of(object), n);
        const Span& span = *g_heap.span_of(object);
        if (!span.is_large()) {
          ASSERT_EQ(span.shard % kNodes, n);
        }
      }
      EXPECT_GE(g_heap.stats().nodes[n].in_use, 20_MiB);
      for (void* object : objects) g_heap.free(object);
    });
  }
}

TEST_F(HeapNodesTest, WhatAnotherNodeFreesComesBack) {
  constexpr std::size_t kBytes = 3000;
  std::vector<void*> made;
  on_node(0, [&] {
    for (unsigned i = 0; i < 5000; ++i) made.push_back(g_heap.allocate(kBytes));
  });
  const std::set<void*> first(made.begin(), made.end());
  on_node(1, [&] {
    for (unsigned i = 0; i < 1000; ++i) g_heap.free(made[i]);
    // The last few are in this thread's cache yet. What follows is of its own node.
    std::vector<void*> mine;
    for (unsigned i = 0; i < ThreadCache::kMaxBinObjects; ++i)
      mine.push_back(g_heap.allocate(kBytes));
    for (unsigned i = 0; i < 1000; ++i) {
      mine.push_back(g_heap.allocate(kBytes));
      ASSERT_EQ(node_of(mine.back()), 1u);
    }
    for (void* object : mine) g_heap.free(object);
    for (unsigned i = 1000; i < made.size(); ++i) g_heap.free(made[i]);
  });
  on_node(0, [&] {
    unsigned again = 0;
    std::vector<void*> mine;
    for (unsigned i = 0; i < 5000; ++i) {
      mine.push_back(g_heap.allocate(kBytes));
      again += first.contains(mine.back()) ? 1u : 0u;
    }
    EXPECT_GE(again, 4500u);
    for (void* object : mine) g_heap.free(object);
  });
}

// A thread that frees what others made and makes as much itself would be handed out theirs for
// ever.
TEST_F(HeapNodesTest, AFullBinKeepsWhatIsNear) {
  constexpr std::size_t kBytes = 512;
  const ClassIndex c = class_of(kBytes);
  std::vector<void*> theirs;
  on_node(0, [&] {
    for (unsigned i = 0; i < 2000 + ThreadCache::kMaxBinObjects; ++i)
      theirs.push_back(g_heap.allocate(kBytes));
  });
  on_node(1, [&] {
    std::vector<void*> mine;
    for (unsigned i = 0; i < 2000; ++i) mine.push_back(g_heap.allocate(kBytes));
    for (unsigned i = 0; i < 2000; ++i) {
      g_heap.free(theirs[i]);
      g_heap.free(mine[i]);
    }
    Bin& bin = t_cache->bins[c];
    for (unsigned i = 0; bin.top != bin.limit; ++i) g_heap.free(theirs[2000 + i]);
    EXPECT_TRUE(
        std::any_of(bin.base, bin.top, [](const Taken& t) { return node_of(t.object) == 0; }));
    g_heap.caches().overflow(g_heap, *t_cache, c);
    for (const Taken* t = bin.base; t != bin.top; ++t) EXPECT_EQ(node_of(t->object), 1u);
  });
}

TEST_F(HeapNodesTest, AThreadThatMovesTakesFromThereNext) {
  constexpr std::size_t kBytes = 200;
  on_node(0, [] {
    std::vector<void*> objects;
    for (unsigned move = 0; move < 3 * kNodes; ++move) {
      const unsigned n = move % kNodes;
      fake_os::go_to_node(n);
      Bin& bin = t_cache->bins[class_of(kBytes)];
      while (!is_dry(bin)) objects.push_back(g_heap.allocate(kBytes));
      for (unsigned i = 0; i < 300; ++i) {
        objects.push_back(g_heap.allocate(kBytes));
        ASSERT_EQ(node_of(objects.back()), n);
      }
      void* const large = g_heap.allocate(300'000);
      EXPECT_EQ(node_of(large), n);
      g_heap.free(large);
    }
    for (void* object : objects) g_heap.free(object);
  });
}

TEST_F(HeapNodesTest, LargeSpansAreKeptForTheirNode) {
  constexpr std::size_t kBytes = 5 << 20;
  void* theirs = nullptr;
  on_node(0, [&] { theirs = g_heap.allocate(kBytes); });
  on_node(1, [&] {
    g_heap.free(theirs);
    void* const mine = g_heap.allocate(kBytes);
    EXPECT_EQ(node_of(mine), 1u);
    g_heap.free(mine);
  });
  on_node(0, [&] {
    void* const again = g_heap.allocate(kBytes);
    EXPECT_EQ(again, theirs);
    g_heap.free(again);
  });
}

TEST_F(HeapNodesTest, ABusyListIsLeftForAnotherOfTheNode) {
  constexpr ClassIndex kClass = 20;
  for (unsigned n = 0; n < kNodes; ++n) {
    on_node(n, [n] {
      ThreadCache& cache = g_heap.caches().get();
      EXPECT_EQ(g_heap.caches().choose_shard(g_heap, cache, kClass), n);
      const unsigned lists =
          std::max(std::min(os::cpu_count(), Heap::kMaxShards) / kNodes, 1u) * kNodes;
      for (unsigned i = 0; i < 2 * lists; ++i) {
        const unsigned before = cache.shard;
        std::barrier step(2);
        std::thread holder([&] {
          os::MutexLock hold(g_heap.central(kClass, before).lock());
          step.arrive_and_wait();
          step.arrive_and_wait();
        });
        step.arrive_and_wait();
        const unsigned chosen = g_heap.caches().choose_shard(g_heap, cache, kClass);
        step.arrive_and_wait();
        holder.join();
        EXPECT_EQ(chosen, (before + kNodes) % lists);
        EXPECT_EQ(chosen % kNodes, n);
        EXPECT_GT(g_heap.caches().shards(), chosen);
      }
    });
  }
}

// A thread at its end has no cache any more; what it asks for is near all the same.
TEST_F(HeapNodesTest, AThreadWithoutACacheIsServedAtItsNode) {
  static pthread_key_t key;
  static unsigned got;
  got = kNodes;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* again) {
                                 if (!t_cache->bypass) {
                                   pthread_setspecific(key, again);  // the cache ends later
                                   return;
                                 }
                                 void* const object = g_heap.allocate(72);
                                 got = node_of(object);
                                 g_heap.free(object);
                               }),
            0);
  on_node(kNodes - 1, [] { pthread_setspecific(key, g_heap.allocate(200)); });
  pthread_key_delete(key);
  EXPECT_EQ(got, kNodes - 1);
}

// Threads of all nodes that pass objects around, move, and are told apart from what they were at.
void churn(std::uint64_t seed) {
  std::vector<std::vector<unsigned char*>> hands(kNodes);
  std::barrier step(kNodes);
  std::vector<std::thread> threads;
  for (unsigned n = 0; n < kNodes; ++n) {
    threads.emplace_back([&, n] {
      Random random(seed + n);
      std::vector<unsigned char*> mine;
      for (unsigned round = 0; round < 6; ++round) {
        fake_os::go_to_node((n + round / 3) % kNodes);
        for (unsigned i = 0; i < 400 * kEffort; ++i) {
          const std::size_t bytes = 1 + random.of_any_magnitude(random.one_in(50) ? 2 << 20 : 8000);
          auto* object = static_cast<unsigned char*>(g_heap.allocate(bytes));
          *object = static_cast<unsigned char>(bytes);
          mine.push_back(object);
          if (random.one_in(3)) {
            std::swap(random.pick(mine), mine.back());
            g_heap.free(mine.back());
            mine.pop_back();
          }
        }
        hands[n] = std::move(mine);
        step.arrive_and_wait();
        mine = hands[(n + 1) % kNodes];  // what the neighbour made
        step.arrive_and_wait();
      }
      for (void* object : mine) g_heap.free(object);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(HeapNodesTest, ThreadsOfAllNodesPassObjectsAround) {
  const HeapStats before = g_heap.stats();
  churn(1);
  ASSERT_TRUE(g_heap.is_valid());
  HeapStats after = g_heap.stats();
  EXPECT_EQ(after.live_objects, before.live_objects);
  EXPECT_EQ(after.nmalloc, after.nfree + after.live_objects);
  g_heap.trim();
  after = g_heap.stats();
  EXPECT_EQ(after.scavenged, after.free);
  Bytes in_use{};
  for (const NodeStats& node : after.nodes) in_use += node.in_use;
  EXPECT_EQ(in_use, after.in_use);
  EXPECT_EQ(after.node_count, kNodes);
}

TEST_F(HeapNodesTest, AMemoryLimitIsKept) {
  g_heap.trim();
  const Bytes used = g_heap.page_heap().limit().in_use();
  ASSERT_TRUE(g_heap.set_memory_limit(Bytes(), used + 64_MiB));
  std::vector<void*> objects;
  for (unsigned n = 0; n < kNodes; ++n) {
    on_node(n, [&] {
      while (void* object = g_heap.allocate(3 << 20)) {
        std::memset(object, 1, 3 << 20);
        objects.push_back(object);
        ASSERT_LE(g_heap.page_heap().limit().in_use(), used + 66_MiB);
      }
      EXPECT_GE(objects.size(), 15u);
      // All are freed here, and asked for at the next node: what is free at this one makes room.
      for (void* object : objects) g_heap.free(object);
      objects.clear();
    });
  }
  ASSERT_TRUE(g_heap.set_memory_limit(Bytes(), Bytes()));
}

TEST_F(HeapNodesTest, AChildOfForkGoesOnAtAllNodes) {
  std::vector<void*> objects;
  on_node(1, [&] {
    for (unsigned i = 0; i < 1000; ++i) objects.push_back(g_heap.allocate(100));
  });
  std::barrier step(2);
  std::thread other([&] {
    fake_os::go_to_node(1);
    std::vector<void*> mine;
    for (unsigned i = 0; i < 100; ++i) mine.push_back(g_heap.allocate(100));
    step.arrive_and_wait();
    step.arrive_and_wait();
    for (void* object : mine) g_heap.free(object);
  });
  step.arrive_and_wait();
  const int got = os::exit_of_child([&objects] {
    for (unsigned n = 0; n < kNodes; ++n) {
      fake_os::go_to_node(n);
      void* const large = g_heap.allocate(100'000);
      if (node_of(large) != n) return 1;
      // This thread's cache has objects of other nodes yet.
      for (unsigned i = 0; i < 2 * ThreadCache::kMaxBinObjects; ++i)
        objects.push_back(g_heap.allocate(100));
      if (node_of(objects.back()) != n) return 2;
    }
    for (void* object : objects) g_heap.free(object);
    g_heap.trim();
    return g_heap.is_valid() ? 0 : 3;
  });
  EXPECT_EQ(got, 0);
  step.arrive_and_wait();
  other.join();
  for (void* object : objects) g_heap.free(object);
}

}  // namespace
}  // namespace ream
