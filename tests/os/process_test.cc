#include "os/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>

#include "os/access.h"
#include "os/child.h"
#include "os/memory.h"
#include "os/sanitized.h"

namespace ream::os {
namespace {

TEST(EnvTest, FindsWholeNames) {
  ::setenv("REAM_OS_TEST", "value=with=signs", 1);
  ::setenv("REAM_OS_TEST_LONGER", "other", 1);
  ::setenv("REAM_OS_EMPTY", "", 1);
  EXPECT_STREQ(env("REAM_OS_TEST"), "value=with=signs");
  EXPECT_STREQ(env("REAM_OS_TEST_LONGER"), "other");
  EXPECT_STREQ(env("REAM_OS_EMPTY"), "");
  EXPECT_EQ(env("REAM_OS_TES"), nullptr);
  EXPECT_EQ(env("REAM_OS_TEST_LONGER_STILL"), nullptr);
  ::unsetenv("REAM_OS_TEST");
  EXPECT_EQ(env("REAM_OS_TEST"), nullptr);
}

TEST(EnvTest, SurvivesStrangeEnvironments) {
  EXPECT_EQ(exit_of_child([] {
              char no_sign[] = "REAM_A", empty[] = "", starts_with_sign[] = "=x",
                   good[] = "REAM_B=1";
              char* strange[] = {no_sign, empty, starts_with_sign, good, nullptr};
              environ = strange;
              if (env("REAM_A") != nullptr) return 1;
              if (env("REAM_B") == nullptr || *env("REAM_B") != '1') return 2;
              environ = nullptr;
              return env("REAM_B") == nullptr ? 0 : 3;
            }),
            0);
}

// A small pipe with a slow reader, in blocking and non-blocking mode.
TEST(WriteStderrTest, WritesEverythingThroughPartialWrites) {
  for (const int flags : {0, O_NONBLOCK}) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const std::string text(300'000, 'x');
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      ::fcntl(ends[1], F_SETFL, flags);
      ::dup2(ends[1], STDERR_FILENO);
      errno = 77;
      write_stderr(text.data(), text.size());
      ::_exit(errno == 77 ? 0 : 1);
    }
    ::close(ends[1]);
    std::size_t got = 0;
    char buffer[3000];
    for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
      got += static_cast<std::size_t>(n);
    EXPECT_EQ(got, text.size());
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    ::close(ends[0]);
  }
}

TEST(WriteStderrTest, GivesUpWhereThereIsNoStderr) {
  EXPECT_EQ(exit_of_child([] {
              ::close(STDERR_FILENO);
              write_stderr("lost", 4);
              return 0;
            }),
            0);
}

TEST(AbortTest, EndsByTheSignalWhateverItsState) {
  EXPECT_EQ(signal_of_child([]() -> int { abort_process(); }), SIGABRT);
  EXPECT_EQ(signal_of_child([]() -> int {
              sigset_t all;
              ::sigfillset(&all);
              ::sigprocmask(SIG_SETMASK, &all, nullptr);
              abort_process();
            }),
            SIGABRT);
  EXPECT_EQ(signal_of_child([]() -> int {
              ::signal(SIGABRT, SIG_IGN);
              abort_process();
            }),
            SIGABRT);
  EXPECT_EQ(signal_of_child([]() -> int {
              ::signal(SIGABRT, [](int) {});  // returns
              abort_process();
            }),
            SIGABRT);
}

TEST(AbortTest, RunsTheProgramsHandler) {
  EXPECT_EQ(exit_of_child([]() -> int {
              ::signal(SIGABRT, [](int) { ::_exit(42); });
              abort_process();
            }),
            42);
}

TEST(ResidentSetTest, GrowsWithTouchedMemory) {
  const Bytes before = resident_set();
  EXPECT_GT(before, Bytes());
  const Addr base = map_anywhere(64_MiB, 4_MiB);
  fill(base, 64_MiB, 1);
  EXPECT_GT(resident_set(), before + 48_MiB);
  release(base, 64_MiB);
}

TEST(LimitsTest, AreReadAndUnlimitedIsSaid) {
  const ProcessLimits now = process_limits();
  EXPECT_NE(now.overcommit, Overcommit::kUnknown);
  rlimit space{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &space), 0);
  EXPECT_EQ(now.address_space == ProcessLimits::kUnlimited, space.rlim_cur == RLIM_INFINITY);
  if (kSanitized) return;
  EXPECT_EQ(exit_of_child([] {
              const rlimit two_gib{2u << 30, 2u << 30}, one_gib{1u << 30, 1u << 30};
              if (::setrlimit(RLIMIT_AS, &two_gib) != 0 || ::setrlimit(RLIMIT_DATA, &one_gib) != 0)
                return 1;
              const ProcessLimits limits = process_limits();
              return limits.address_space == 2_GiB && limits.data == 1_GiB ? 0 : 2;
            }),
            0);
}

}  // namespace
}  // namespace ream::os
