// The table of callbacks: who is called, in which order, and not from within; what a full table and
// a function that still runs lead to.
#include "heap/pressure_callbacks.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace ream {
namespace {

using Callback = PressureCallbacks::Callback;

struct Call {
  int who;
  PressureLevel level;
  Bytes wanted;
};
std::vector<Call> g_calls;
PressureCallbacks* g_table = nullptr;

void first() {}
void second() {}

// The tests' arg is an int that says who it is.
void note(Callback::Function, PressureLevel level, Bytes wanted, void* arg) {
  g_calls.push_back({*static_cast<int*>(arg), level, wanted});
}

class PressureCallbacksTest : public testing::Test {
 protected:
  PressureCallbacksTest() {
    g_calls.clear();
    g_table = &table;
  }
  PressureCallbacks table;
  int one = 1, two = 2;
};

TEST_F(PressureCallbacksTest, AnEmptyTableCallsNobody) {
  EXPECT_FALSE(table.call(PressureLevel::kSoft, 1_B));
}

TEST_F(PressureCallbacksTest, CallsAllInOrderWithWhatIsWanted) {
  ASSERT_TRUE(table.add({note, first, &one}));
  ASSERT_TRUE(table.add({note, second, &two}));
  EXPECT_TRUE(table.call(PressureLevel::kHard, 12_KiB));
  ASSERT_EQ(g_calls.size(), 2u);
  EXPECT_EQ(g_calls[0].who, 1);
  EXPECT_EQ(g_calls[1].who, 2);
  EXPECT_EQ(g_calls[0].level, PressureLevel::kHard);
  EXPECT_EQ(g_calls[1].wanted, 12_KiB);
}

TEST_F(PressureCallbacksTest, APairIsFunctionAndArg) {
  ASSERT_TRUE(table.add({note, first, &one}));
  EXPECT_FALSE(table.remove(first, &two));
  EXPECT_FALSE(table.remove(second, &one));
  EXPECT_TRUE(table.remove(first, &one));
  EXPECT_FALSE(table.remove(first, &one));
  EXPECT_FALSE(table.call(PressureLevel::kSoft, 1_B));
}

TEST_F(PressureCallbacksTest, AFullTableRefuses) {
  for (std::size_t i = 0; i < PressureCallbacks::kMost; ++i) {
    ASSERT_TRUE(table.add({note, first, &one}));
  }
  EXPECT_FALSE(table.add({note, second, &two}));
  EXPECT_TRUE(table.remove(first, &one));
  EXPECT_TRUE(table.add({note, second, &two}));
  EXPECT_TRUE(table.call(PressureLevel::kSoft, 1_B));
  EXPECT_EQ(g_calls.size(), PressureCallbacks::kMost);
}

TEST_F(PressureCallbacksTest, NotCalledFromWithinAndMayChangeTheTable) {
  static bool called_again = true;
  const auto reenter = [](Callback::Function f, PressureLevel level, Bytes wanted, void* arg) {
    called_again = g_table->call(level, wanted);
    EXPECT_TRUE(g_table->remove(f, arg));  // itself; does not wait
    note(f, level, wanted, arg);
  };
  ASSERT_TRUE(table.add({reenter, first, &one}));
  EXPECT_TRUE(table.call(PressureLevel::kSoft, 1_B));
  EXPECT_FALSE(called_again);
  EXPECT_EQ(g_calls.size(), 1u);
  EXPECT_FALSE(table.call(PressureLevel::kSoft, 1_B));
}

TEST_F(PressureCallbacksTest, RemovalWaitsUntilNobodyIsInIt) {
  static std::atomic<bool> inside, leave, removed;
  inside = leave = removed = false;
  const auto linger = [](Callback::Function, PressureLevel, Bytes, void*) {
    inside = true;
    while (!leave) std::this_thread::yield();
    EXPECT_FALSE(removed);
  };
  ASSERT_TRUE(table.add({linger, first, &one}));
  std::thread caller([&] { table.call(PressureLevel::kSoft, 1_B); });
  while (!inside) std::this_thread::yield();
  std::thread remover([&] {
    EXPECT_TRUE(table.remove(first, &one));
    removed = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_FALSE(removed);
  leave = true;
  caller.join();
  remover.join();
  EXPECT_TRUE(removed);
}

TEST_F(PressureCallbacksTest, InAChildNobodyIsLeftInside) {
  static std::atomic<bool> inside, leave;
  inside = leave = false;
  const auto linger = [](Callback::Function, PressureLevel, Bytes, void*) {
    inside = true;
    while (!leave) std::this_thread::yield();
  };
  ASSERT_TRUE(table.add({linger, first, &one}));
  std::thread caller([&] { table.call(PressureLevel::kSoft, 1_B); });
  while (!inside) std::this_thread::yield();
  leave = true;
  caller.join();
  table.after_fork_in_child();
  EXPECT_TRUE(table.remove(first, &one));
}

}  // namespace
}  // namespace ream
