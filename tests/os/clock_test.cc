#include "os/clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace ream::os {
namespace {

TEST(ClockTest, NeverGoesBackAndMoves) {
  const std::uint64_t first = now_ns();
  EXPECT_GT(first, 0u);
  std::uint64_t last = first;
  for (unsigned i = 0; i < 1000; ++i) {
    const std::uint64_t now = now_ns();
    EXPECT_GE(now, last);
    last = now;
  }
  while (now_ns() == first) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace
}  // namespace ream::os
