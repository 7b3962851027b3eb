// The worker on the process's own heap: starts when the heap is large, gives back what lies unused,
// then sleeps until something changes; a child of fork gets its own.
#include "heap/worker.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "heap/heap.h"
#include "os/child.h"
#include "os/process.h"
#include "os/sanitized.h"
#include "support/random.h"

namespace ream {
namespace {

// Waits for what the worker is to bring about. It needs a few seconds; a machine may be slow.
template <class Condition>
bool comes_true(Condition condition) {
  for (unsigned i = 0; i < 60'000 && !condition(); i += 10) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

bool falls_asleep() {
  return comes_true([] { return g_heap.worker().is_asleep() || !g_heap.worker().is_running(); });
}

std::vector<void*> filled(std::size_t bytes, Bytes total) {
  std::vector<void*> objects;
  for (std::size_t i = 0; i < total.n / bytes; ++i) {
    objects.push_back(g_heap.allocate(bytes));
    std::memset(objects.back(), 0x3c, bytes);
  }
  return objects;
}

// One in n stays, at random.
void thin_out(std::vector<void*>& objects, std::uint64_t n) {
  Random random(7);
  std::size_t kept = 0;
  for (void* p : objects) {
    if (random.one_in(n))
      objects[kept++] = p;
    else
      g_heap.free(p);
  }
  objects.resize(kept);
}

void expect_intact(const std::vector<void*>& objects, std::size_t bytes) {
  for (void* p : objects) {
    const auto* c = static_cast<const unsigned char*>(p);
    ASSERT_EQ(c[0], 0x3c);
    ASSERT_EQ(std::memcmp(c, c + 1, bytes - 1), 0);
  }
}

void free_all(std::vector<void*>& objects) {
  for (void* p : objects) g_heap.free(p);
  objects.clear();
}

TEST(WorkerTest, ASmallHeapHasNone) {
  auto few = filled(1000, 1_MiB);
  EXPECT_FALSE(g_heap.worker().is_running());
  free_all(few);
}

// A handler that comes before the heap's own, which registers at its first allocation.
bool g_fills_in_child = false;
const int g_registered = ::pthread_atfork(nullptr, nullptr, [] {
  if (g_fills_in_child) static_cast<void>(filled(1000, 32_MiB));
});

TEST(WorkerTest, OneThatAForkHandlerStartedIsTheChildsOnlyOne) {
  if (os::kSanitized) GTEST_SKIP() << "sanitizers have threads of their own";
  ASSERT_EQ(g_registered, 0);
  static_cast<void>(g_heap.allocate(1));
  if (g_heap.worker().is_running()) GTEST_SKIP();
  g_fills_in_child = true;
  const int result = os::exit_of_child([] {
    g_fills_in_child = false;
    static_cast<void>(filled(1000, 1_MiB));
    if (!g_heap.worker().is_running()) return 1;
    struct stat threads{};
    if (::stat("/proc/self/task", &threads) != 0) return 2;
    return threads.st_nlink == 2 + 2 ? 0 : 3;
  });
  g_fills_in_child = false;
  EXPECT_EQ(result, 0);
}

TEST(WorkerTest, WhatLiesUnusedInsideSpansGoesBack) {
  constexpr std::size_t kBytes = 1000;
  auto objects = filled(kBytes, 64_MiB);
  EXPECT_TRUE(g_heap.worker().is_running());
  thin_out(objects, 20);
  const Bytes before = Bytes(g_heap.stats().purged_bytes);
  ASSERT_TRUE(falls_asleep());
  // A twentieth of the objects, on as many pages at most.
  EXPECT_GE(Bytes(g_heap.stats().purged_bytes) - before, 40_MiB);
  expect_intact(objects, kBytes);
  free_all(objects);
}

TEST(WorkerTest, WhatLiesUnusedInsideSubHeapsGoesBack) {
  constexpr std::size_t kBytes = 1000;
  SubHeap* const sub = g_heap.create_sub_heap("sparse", 0_B);
  std::vector<void*> objects;
  while (sub->budget.used() < 64_MiB) {
    objects.push_back(g_heap.allocate_in(*sub, kBytes));
    std::memset(objects.back(), 0x3c, kBytes);
  }
  EXPECT_TRUE(g_heap.worker().is_running());
  thin_out(objects, 20);
  const Bytes before = Bytes(g_heap.stats().purged_bytes);
  ASSERT_TRUE(falls_asleep());
  EXPECT_GE(Bytes(g_heap.stats().purged_bytes) - before, 40_MiB);
  expect_intact(objects, kBytes);
  g_heap.destroy_sub_heap(*sub);
  ASSERT_TRUE(falls_asleep());
  EXPECT_TRUE(g_heap.is_valid());
}

TEST(WorkerTest, WhatIsFreeGoesBack) {
  auto objects = filled(300'000, 64_MiB);
  free_all(objects);
  ASSERT_TRUE(falls_asleep());
  const HeapStats stats = g_heap.stats();
  EXPECT_LE(stats.free - stats.scavenged, 5_MiB);
  EXPECT_LE(stats.cached, 4_MiB);
}

TEST(WorkerTest, SleepsUntilSomethingChanges) {
  auto objects = filled(1000, 32_MiB);
  ASSERT_TRUE(falls_asleep());
  const std::uint64_t purged = g_heap.stats().purged_bytes;
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  EXPECT_TRUE(g_heap.worker().is_asleep());
  EXPECT_EQ(g_heap.stats().purged_bytes, purged);
  free_all(objects);
  EXPECT_TRUE(comes_true([&] { return g_heap.stats().purged_bytes - purged >= (24u << 20); }));
  EXPECT_TRUE(falls_asleep());
}

Bytes resident() { return os::resident_set(); }

// Every resident page is accounted for: what the heap says of itself agrees with the kernel.
TEST(WorkerTest, TheAccountAgreesWithTheKernel) {
  if (os::kSanitized) GTEST_SKIP() << "a sanitizer's own memory counts as well";
  static_cast<void>(g_heap.trim());
  ASSERT_TRUE(falls_asleep());
  constexpr std::size_t kSizes[] = {24, 200, 1000, 3000, 9000, 40'000, 900'000};
  std::vector<std::vector<void*>> objects;  // of libc's memory, all of it resident before it begins
  for (const std::size_t bytes : kSizes) objects.emplace_back((40 << 20) / bytes);
  const Bytes rss = resident();
  const Bytes counted = g_heap.stats().resident();
  const auto expect_agreement = [&](const char* when) {
    const auto kernel = static_cast<std::int64_t>(resident().n - rss.n);
    const auto ours = static_cast<std::int64_t>(g_heap.stats().resident().n - counted.n);
    const std::int64_t apart = kernel > ours ? kernel - ours : ours - kernel;
    const std::int64_t most = std::max<std::int64_t>(kernel / 100, 2 << 20);
    EXPECT_LE(apart, most) << when << ": kernel " << kernel << ", ours " << ours;
  };
  for (std::size_t i = 0; i < std::size(kSizes); ++i) {
    for (void*& p : objects[i]) {
      p = g_heap.allocate(kSizes[i]);
      std::memset(p, 0x3c, g_heap.usable_size(p));
    }
  }
  expect_agreement("full");
  for (auto& of_size : objects) thin_out(of_size, 10);
  expect_agreement("freed");
  ASSERT_TRUE(falls_asleep());
  expect_agreement("idle");
  for (auto& of_size : objects) free_all(of_size);
  ASSERT_TRUE(falls_asleep());
  expect_agreement("empty");
}

// In KiB.
std::uint64_t in_huge_pages() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  std::string word;
  std::uint64_t kib = 0;
  while (rollup >> word) {
    if (word == "AnonHugePages:") rollup >> kib;
  }
  return kib;
}

TEST(WorkerTest, DenseMemoryIsBackedByHugePagesWhileItIsDense) {
  if (os::huge_page_size() != 2_MiB || os::huge_page_rule() == os::HugePageRule::kNever)
    GTEST_SKIP() << "this system has no transparent huge pages of 2 MiB";
  const std::uint64_t before = in_huge_pages();
  auto objects = filled(1000, 64_MiB);
  const HugePageStats stats = g_heap.stats().huge_pages;
  const bool became_huge = comes_true([&] {
    return in_huge_pages() >= before + (32 << 10) ||
           g_heap.stats().huge_pages.refused > stats.refused;
  });
  EXPECT_TRUE(became_huge);
  if (in_huge_pages() < before + (32 << 10)) {
    free_all(objects);
    GTEST_SKIP() << "the system refuses: it has no free huge pages, or no such call";
  }
  EXPECT_GT(g_heap.stats().huge_pages.collapsed, 0u);
  expect_intact(objects, 1000);
  thin_out(objects, 20);
  EXPECT_TRUE(comes_true([&] { return in_huge_pages() < before + (16 << 10); }));
  EXPECT_GT(g_heap.stats().huge_pages.split, stats.split);
  expect_intact(objects, 1000);
  free_all(objects);
  EXPECT_TRUE(falls_asleep());
}

TEST(WorkerTest, AChildOfForkGetsItsOwn) {
  if (os::kSanitized) GTEST_SKIP() << "sanitizers allow no threads in a child";
  auto objects = filled(1000, 32_MiB);
  ASSERT_TRUE(g_heap.worker().is_running());
  const int result = os::exit_of_child([&] {
    if (g_heap.worker().is_running()) return 1;
    const std::uint64_t purged = g_heap.stats().purged_bytes;
    free_all(objects);
    auto others = filled(2000, 1_MiB);
    if (!g_heap.worker().is_running()) return 2;
    if (!falls_asleep()) return 3;
    return g_heap.stats().purged_bytes - purged >= (24u << 20) ? 0 : 4;
  });
  EXPECT_EQ(result, 0);
  free_all(objects);
}

// From now on the system call is refused, as by a kernel that does not have it.
bool refuse(unsigned system_call) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(WorkerTest, SleepsWhereCachesOfOthersCannotBeTakenFrom) {
  if (os::kSanitized) GTEST_SKIP() << "sanitizers allow no threads in a child";
  const int result = os::exit_of_child([] {
    if (!refuse(SYS_membarrier)) return 77;
    auto objects = filled(1000, 32_MiB);
    free_all(objects);
    if (!g_heap.worker().is_running()) return 1;
    return falls_asleep() ? 0 : 2;
  });
  if (result == 77) GTEST_SKIP();
  EXPECT_EQ(result, 0);
}

}  // namespace
}  // namespace ream
