// <ream/heap.h>: containers of the standard library on heaps with budgets.
#include <gtest/gtest.h>
#include <ream/heap.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <new>
#include <numeric>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "abi/hide.h"

namespace abi_test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

template <class T>
using Vector = std::vector<T, ream::allocator<T>>;
using String = std::basic_string<char, std::char_traits<char>, ream::allocator<char>>;

TEST(HeapHeader, AHeapEndsWithItsScope) {
  void* p = nullptr;
  {
    ream::heap heap("scope", 10 * kMiB);
    p = heap.allocate(1000);
    EXPECT_TRUE(heap.owns(p));
    EXPECT_STREQ(heap.name(), "scope");
    EXPECT_EQ(heap.budget(), 10 * kMiB);
    EXPECT_GT(heap.memory_in_use(), 1000u);
    EXPECT_EQ(heap.peak_memory(), heap.memory_in_use());
  }
  EXPECT_EQ(ream_heap_of(p), nullptr);
}

TEST(HeapHeader, AHeapMovesAndIsReleased) {
  ream::heap a("a");
  void* p = a.allocate(10);
  ream::heap b(std::move(a));
  EXPECT_TRUE(b.owns(p));
  EXPECT_FALSE(a.owns(p));  // NOLINT: moved from
  ream::heap c("c");
  void* of_c = c.allocate(10);
  c = std::move(b);
  EXPECT_TRUE(c.owns(p));
  EXPECT_EQ(ream_heap_of(of_c), nullptr);
  ream_heap* raw = c.release();
  EXPECT_EQ(c.get(), nullptr);
  ream::heap d(raw);
  EXPECT_TRUE(d.owns(p));
  d.deallocate(p);
  EXPECT_FALSE(std::is_copy_constructible_v<ream::heap>);
}

TEST(HeapHeader, ThrowsAtTheBudget) {
  ream::heap heap("small", kMiB);
  EXPECT_THROW(hide(heap.allocate(2 * kMiB)), std::bad_alloc);
  EXPECT_EQ(heap.try_allocate(2 * kMiB), nullptr);
  heap.set_budget(4 * kMiB);
  void* p = heap.allocate(2 * kMiB, 4096);
  EXPECT_TRUE(is_aligned(p, 4096));
  heap.deallocate(p);
  heap.deallocate(nullptr);
}

TEST(HeapHeader, ContainersOfPmrLieInTheHeap) {
  ream::heap heap("pmr", 64 * kMiB);
  ream::heap_resource memory(heap);
  std::pmr::map<int, std::pmr::string> map(&memory);
  std::pmr::vector<std::pmr::vector<double>> rows(&memory);
  for (int i = 0; i < 1000; ++i) {
    map[i] = std::pmr::string(200, static_cast<char>('a' + i % 26));
    rows.emplace_back(100u, 1.5);
  }
  EXPECT_TRUE(heap.owns(map[77].data()));
  EXPECT_TRUE(heap.owns(rows[500].data()));
  EXPECT_TRUE(heap.owns(&*map.find(3)));
  EXPECT_EQ(map[26].back(), 'a');
  const std::size_t full = heap.memory_in_use();
  EXPECT_GE(full, 1000 * (200 + 800));
  map.clear();
  rows.clear();
  rows.shrink_to_fit();
  EXPECT_LT(heap.memory_in_use(), full / 4);
}

TEST(HeapHeader, AResourceKeepsAlignmentAndKnowsItsEqual) {
  ream::heap a("a"), b("b");
  ream::heap_resource one(a), same(a), other(b);
  EXPECT_TRUE(one.is_equal(same));
  EXPECT_FALSE(one.is_equal(other));
  EXPECT_FALSE(one.is_equal(*std::pmr::new_delete_resource()));
  for (std::size_t alignment = 1; alignment <= 65536; alignment *= 2) {
    void* p = one.allocate(alignment * 3, alignment);
    EXPECT_TRUE(is_aligned(p, alignment));
    same.deallocate(p, alignment * 3, alignment);
  }
  // Containers of unequal resources copy when they are assigned.
  std::pmr::vector<int> x({1, 2, 3}, &one), y(&other);
  y = std::move(x);
  EXPECT_TRUE(b.owns(y.data()));
  EXPECT_EQ(y.size(), 3u);
}

TEST(HeapHeader, AResourceThrowsAtTheBudgetAndTheContainerIsWhole) {
  ream::heap heap("small", kMiB);
  ream::heap_resource memory(heap);
  std::pmr::vector<std::uint64_t> numbers(&memory);
  EXPECT_THROW(for (std::uint64_t i = 0;; ++i) numbers.push_back(i), std::bad_alloc);
  EXPECT_GE(numbers.size(), kMiB / 32);
  EXPECT_LE(heap.peak_memory(), kMiB);
  for (std::uint64_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], i);
  std::pmr::monotonic_buffer_resource arena(&memory);
  EXPECT_THROW(static_cast<void>(arena.allocate(2 * kMiB)), std::bad_alloc);
}

TEST(HeapHeader, ContainersOfTheAllocatorLieInTheHeap) {
  ream::heap heap("stl");
  Vector<int> vector(1000, 7, heap);
  std::list<int, ream::allocator<int>> list(heap);
  std::deque<int, ream::allocator<int>> deque(heap);
  using Pair = std::pair<const int, int>;
  std::map<int, int, std::less<>, ream::allocator<Pair>> map(heap);
  std::unordered_map<int, int, std::hash<int>, std::equal_to<>, ream::allocator<Pair>> hashed(
      16, std::hash<int>(), std::equal_to<>(), heap);
  String string("a string too long to lie within its own object, in any library", heap);
  for (int i = 0; i < 1000; ++i) {
    list.push_back(i);
    deque.push_back(i);
    map[i] = hashed[i] = i;
  }
  EXPECT_EQ(std::accumulate(deque.begin(), deque.end(), 0), 499500);
  EXPECT_TRUE(heap.owns(vector.data()));
  EXPECT_TRUE(heap.owns(&list.front()));
  EXPECT_TRUE(heap.owns(&deque.front()));
  EXPECT_TRUE(heap.owns(&map[5]));
  EXPECT_TRUE(heap.owns(&hashed[5]));
  EXPECT_TRUE(heap.owns(string.data()));
  const auto shared = std::allocate_shared<int>(ream::allocator<int>(heap), 3);
  EXPECT_TRUE(heap.owns(shared.get()));
}

TEST(HeapHeader, ContainersTakeTheirHeapAlong) {
  ream::heap a("a"), b("b");
  Vector<int> x(100, 1, a), y(200, 2, b);
  const int* of_x = x.data();
  x.swap(y);
  EXPECT_EQ(y.data(), of_x);
  EXPECT_EQ(y.get_allocator(), ream::allocator<char>(a));
  EXPECT_NE(x.get_allocator(), y.get_allocator());
  x = std::move(y);
  EXPECT_EQ(x.data(), of_x);
  Vector<int> copy(x);
  EXPECT_TRUE(a.owns(copy.data()));
  Vector<int> z(b);
  z = x;
  EXPECT_TRUE(b.owns(z.data()));
}

TEST(HeapHeader, TheAllocatorThrowsAndKeepsAlignment) {
  struct alignas(256) Wide {
    char bytes[256];
  };
  ream::heap heap("wide", kMiB);
  Vector<Wide> wide(heap);
  wide.resize(10);
  EXPECT_TRUE(is_aligned(wide.data(), 256));
  EXPECT_THROW(wide.resize(10'000), std::bad_alloc);
  EXPECT_EQ(wide.size(), 10u);
  ream::allocator<Wide> from(heap);
  EXPECT_THROW(hide(from.allocate(SIZE_MAX / 2)), std::bad_array_new_length);
}

// Where nothing else has to be ended, containers need not be: the heap takes all at once.
TEST(HeapHeader, AHeapFreesWhatItsContainersHold) {
  const std::size_t before = ream_memory_in_use();
  for (int i = 0; i < 20; ++i) {
    ream::heap heap("request");
    auto* words = new (heap.allocate(sizeof(Vector<String>))) Vector<String>(heap);
    for (int k = 0; k < 2000; ++k) words->emplace_back(500, 'x', ream::allocator<char>(heap));
  }
  EXPECT_LT(ream_memory_in_use(), before + 10 * kMiB);
}

TEST(HeapHeader, ThreadsShareAHeap) {
  ream::heap heap("shared", 32 * kMiB);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&heap, t] {
      for (int round = 0; round < 20; ++round) {
        Vector<String> words(heap);
        for (int i = 0; i < 500; ++i) {
          words.emplace_back(static_cast<std::size_t>(i), static_cast<char>('a' + t),
                             ream::allocator<char>(heap));
        }
        for (const String& word : words)
          ASSERT_EQ(word.find_first_not_of(static_cast<char>('a' + t)), String::npos);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(heap.peak_memory(), 32 * kMiB);
}

}  // namespace
}  // namespace abi_test
