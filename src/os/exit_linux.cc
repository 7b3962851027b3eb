// The end of the process on Linux.
#include "os/exit.h"

#include <unistd.h>

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

std::uint32_t process_id() noexcept { return static_cast<std::uint32_t>(::getpid()); }

}  // namespace ream::os
