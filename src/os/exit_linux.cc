// The end of the process on Linux.
#include "os/exit.h"

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "os/errno_keeper.h"
#include "os/small_file.h"

// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming): libc's name
extern "C" int __cxa_atexit(void (*fn)(void*), void* arg, void* library) noexcept;

namespace ream::os {

// As a handler of no library, it is not called earlier with the destructors of this one. The
// argument goes unused, as in libc's own atexit: the race detector does not pass it on to such
// handlers.
bool at_exit(void (*fn)() noexcept) noexcept {
  const auto handler = reinterpret_cast<void (*)(void*)>(reinterpret_cast<void*>(fn));
  return __cxa_atexit(handler, nullptr, nullptr) == 0;
}

// In stat the state follows the name: "1 (name) Z ...". The directory has "." and "..", and one
// entry for each thread; the main thread's stays to the end.
bool is_last_thread(unsigned others) noexcept {
  const ErrnoKeeper keep;
  struct stat threads{};
  if (::stat("/proc/self/task", &threads) != 0 || threads.st_nlink != 2 + 2 + others) return false;
  char text[64];
  if (read_small_file("/proc/self/stat", text, sizeof text) <= 0) return false;
  const char* const name_end = std::strrchr(text, ')');
  return name_end != nullptr && std::strncmp(name_end, ") Z ", 4) == 0;
}

void exit_after_last_thread() noexcept {
  const auto run = [](void*) noexcept -> void* {
    sigset_t none;
    ::sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    std::exit(0);  // NOLINT(concurrency-mt-unsafe): no thread of the program is left
  };
  pthread_t thread;
  if (::pthread_create(&thread, nullptr, run, nullptr) != 0) run(nullptr);
}

std::uint32_t process_id() noexcept { return static_cast<std::uint32_t>(::getpid()); }

}  // namespace ream::os
