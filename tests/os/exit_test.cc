#include "os/exit.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace ream::os {
namespace {

int g_pipe[2];

void say(char c) noexcept { EXPECT_EQ(::write(g_pipe[1], &c, 1), 1); }

TEST(Exit, ProcessId) { EXPECT_EQ(process_id(), static_cast<std::uint32_t>(::getpid())); }

TEST(Exit, HandlersRunLastRegisteredFirst) {
  ASSERT_EQ(::pipe(g_pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool registered = at_exit([]() noexcept { say('1'); });
    std::atexit([] { say('2'); });
    const bool again = at_exit([]() noexcept { say('3'); });
    std::exit(registered && again ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ::close(g_pipe[1]);
  char text[8];
  const ssize_t n = ::read(g_pipe[0], text, sizeof(text));
  ASSERT_GE(n, 0);
  EXPECT_EQ(std::string(text, static_cast<std::size_t>(n)), "321");
  ::close(g_pipe[0]);
}

}  // namespace
}  // namespace ream::os
