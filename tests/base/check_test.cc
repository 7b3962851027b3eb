#include "base/check.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

namespace ream {
namespace {

std::string g_written;

void keep(const char* text, std::size_t bytes) noexcept { g_written.assign(text, bytes); }
void to_stderr(const char* text, std::size_t bytes) noexcept {
  if (write(STDERR_FILENO, text, bytes) < 0) std::abort();
}
void leave() noexcept { _exit(66); }

// What a fatal message says, in a child process that ends with it.
class CheckDeathTest : public ::testing::Test {
 protected:
  CheckDeathTest() {
    set_message_sink(to_stderr);
    set_end_program(leave);
  }
};

TEST(Check, MessagesAreOneLine) {
  set_message_sink(keep);
  message("all is well");
  EXPECT_EQ(g_written, "ream: all is well\n");
}

// No fixture: nothing is installed yet.
TEST(CheckDefaultsDeathTest, AMessageOnStderrAndAbort) {
  EXPECT_EXIT(fatal("no way out"), ::testing::KilledBySignal(SIGABRT), "^ream: no way out\n$");
}

TEST_F(CheckDeathTest, FatalTexts) {
  EXPECT_EXIT(fatal("no way out"), ::testing::ExitedWithCode(66), "^ream: no way out\n$");
  EXPECT_EXIT(fatal_at("double free", 0xabc0), ::testing::ExitedWithCode(66),
              "^ream: double free: 0xabc0\n$");
}

TEST_F(CheckDeathTest, AFailedCheckNamesItselfAndItsPlace) {
  const int two = 2;
  REAM_CHECK(two == 2);
  EXPECT_EXIT(REAM_CHECK(two == 3), ::testing::ExitedWithCode(66),
              "^ream: check failed: two == 3 \\(.*check_test.cc:[0-9]+\\)\n$");
}

TEST_F(CheckDeathTest, AssertionsAndAuditsAreExecutedWhereTheyAreOn) {
  int calls = 0;
  const auto holds = [&calls]() noexcept {
    ++calls;
    return true;
  };
  REAM_ASSERT(holds());
  EXPECT_EQ(calls, kDebug ? 1 : 0);
  REAM_AUDIT(holds());
  EXPECT_EQ(calls, (kDebug ? 1 : 0) + (kAudit ? 1 : 0));
}

}  // namespace
}  // namespace ream
