// What is pressure, and what the heap does under it. That it is heard of while the worker sleeps is
// in tests/abi/pressure_test.py.
#include "heap/pressure_watch.h"

#include <gtest/gtest.h>

#include <cstring>

#include "heap/heap.h"
#include "support/no_worker.h"

namespace ream {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

os::MemoryPressure at(std::uint64_t stalled_ms, std::uint32_t avg10 = 0) {
  return {.known = true, .avg10 = avg10, .stalled_us = stalled_ms * 1000};
}

TEST(PressureWatchTest, ATenthOfTheTimeIsPressure) {
  PressureWatch watch;
  EXPECT_FALSE(watch.judge(at(5'000), 100 * kSecond));
  EXPECT_TRUE(watch.judge(at(5'200), 102 * kSecond));
  EXPECT_FALSE(watch.judge(at(5'399), 104 * kSecond));
  EXPECT_FALSE(watch.judge(at(5'399), 106 * kSecond));
  EXPECT_TRUE(watch.judge(at(6'399), 116 * kSecond));
}

// What was counted before the first look, or while there was none, may be long ago.
TEST(PressureWatchTest, WithoutALookBeforeTheAverageCounts) {
  PressureWatch watch;
  EXPECT_FALSE(watch.judge(at(3'000'000, 999), 100 * kSecond));
  EXPECT_TRUE(watch.judge(at(9'000'000, 1'000), 200 * kSecond));
  EXPECT_FALSE(watch.judge(at(99'000'000, 999), 300 * kSecond));
  EXPECT_FALSE(watch.judge(at(99'000'000, 5'000), 302 * kSecond));  // nothing since the last look
}

TEST(PressureWatchTest, AnotherGroupsCountIsNotCompared) {
  PressureWatch watch;
  EXPECT_FALSE(watch.judge(at(50'000), 100 * kSecond));
  EXPECT_FALSE(watch.judge(at(2'000), 102 * kSecond));
  EXPECT_TRUE(watch.judge(at(2'200), 104 * kSecond));
  EXPECT_TRUE(watch.judge(at(0, 1'000), 106 * kSecond));
}

TEST(PressureWatchTest, WhatIsNotKnownIsNone) {
  PressureWatch watch;
  EXPECT_FALSE(watch.judge(at(0), 100 * kSecond));
  EXPECT_FALSE(
      watch.judge({.known = false, .avg10 = 9'000, .stalled_us = 50'000'000}, 102 * kSecond));
}

TEST(PressureWatchTest, TheSameAnswerHoldsUntilTheNextLook) {
  PressureWatch watch;
  ASSERT_TRUE(watch.judge(at(0, 1'000), 100 * kSecond));
  EXPECT_TRUE(watch.look(101 * kSecond));
  PressureWatch other;
  ASSERT_FALSE(other.judge(at(0), 100 * kSecond));
  EXPECT_FALSE(other.look(101 * kSecond));
}

TEST(PressureWatchTest, NobodyListensBeforeItIsAsked) {
  PressureWatch watch;
  EXPECT_EQ(watch.threads(), 0u);
  EXPECT_FALSE(watch.take_sign());
}

struct Heard {
  unsigned calls = 0;
  PressureLevel level = PressureLevel::kHard;
  Bytes wanted{};
};

void note(PressureCallbacks::Callback::Function, PressureLevel level, Bytes wanted, void* arg) {
  auto& heard = *static_cast<Heard*>(arg);
  ++heard.calls;
  heard.level = level;
  heard.wanted = wanted;
}

class HeapPressureTest : public testing::Test {
 protected:
  ~HeapPressureTest() override { EXPECT_TRUE(g_heap.set_memory_limit({}, {})); }

  // A pass of the worker that may spend nothing.
  static void pass() { static_cast<void>(g_heap.tidy(WorkBudget(0))); }
  static MemoryLimit& limit() { return g_heap.page_heap().limit(); }
  // Until the last relief is long enough ago.
  static void rest() {
    const std::uint64_t end = os::now_ns() + 2 * MemoryLimit::kAlertNs;
    while (os::now_ns() < end) os::sleep_ns(10'000'000);
  }
};

TEST_F(HeapPressureTest, AllThatLiesUnusedGoesBackAtOnce) {
  void* kept = g_heap.allocate(1000);
  void* large = g_heap.allocate(3 << 20);
  std::memset(large, 1, 3 << 20);
  g_heap.free(large);  // young: what the pace keeps
  pass();
  const HeapStats before = g_heap.stats();
  ASSERT_GE(before.free - before.scavenged + before.cached, 3_MiB);
  rest();
  limit().press();
  pass();
  const HeapStats after = g_heap.stats();
  EXPECT_EQ(after.free, after.scavenged);
  EXPECT_LE(after.cached, 64_KiB);  // of the thread that does it, objects that it may use again
  EXPECT_EQ(after.pressures, before.pressures + 1);
  EXPECT_FALSE(limit().is_pressed());
  g_heap.free(kept);
}

TEST_F(HeapPressureTest, CallbacksAreAskedForAPartOfWhatIsInUse) {
  Heard heard;
  const auto function = reinterpret_cast<PressureCallbacks::Callback::Function>(note);
  ASSERT_TRUE(g_heap.callbacks().add({note, function, &heard}));
  void* block = g_heap.allocate(80 << 20);
  rest();
  pass();
  EXPECT_EQ(heard.calls, 0u);
  limit().press();
  pass();
  EXPECT_EQ(heard.calls, 1u);
  EXPECT_EQ(heard.level, PressureLevel::kSoft);
  EXPECT_GE(heard.wanted, 10_MiB);
  EXPECT_LE(heard.wanted, 13_MiB);
  // Where there is a soft limit that is exceeded by more, that counts.
  rest();
  ASSERT_TRUE(g_heap.set_memory_limit(20_MiB, {}));
  limit().press();
  pass();
  EXPECT_EQ(heard.calls, 2u);
  EXPECT_GE(heard.wanted, 60_MiB);
  EXPECT_TRUE(g_heap.callbacks().remove(function, &heard));
  g_heap.free(block);
}

TEST_F(HeapPressureTest, ReliefsRestBetweenSigns) {
  rest();
  const std::uint64_t before = g_heap.stats().pressures;
  const std::uint64_t begin_ns = os::now_ns();
  for (unsigned i = 0; i < 20; ++i) {
    limit().press();
    pass();
  }
  const std::uint64_t took_ns = os::now_ns() - begin_ns;
  EXPECT_GE(g_heap.stats().pressures, before + 1);
  EXPECT_LE(g_heap.stats().pressures, before + 1 + took_ns / MemoryLimit::kAlertNs);
  EXPECT_TRUE(limit().is_pressed() || took_ns >= MemoryLimit::kAlertNs);
  rest();
  pass();
  EXPECT_FALSE(limit().is_pressed());
}

}  // namespace
}  // namespace ream
