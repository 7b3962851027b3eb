#include "os/exit.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "os/child.h"

namespace ream::os {
namespace {

TEST(ExitTest, RunsHandlersInReverseOrder) {
  const int status = exit_of_child([]() -> int {
    static int steps = 0;
    if (!at_exit([]() noexcept { ::_exit(steps == 1 ? 42 : 1); })) return 2;
    if (!at_exit([]() noexcept { ++steps; })) return 3;
    std::exit(0);
  });
  EXPECT_EQ(status, 42);
}

TEST(ExitTest, KnowsTheProcess) { EXPECT_EQ(process_id(), static_cast<std::uint32_t>(::getpid())); }

}  // namespace
}  // namespace ream::os
