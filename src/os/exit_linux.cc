// The end of the process on Linux.
#include "os/exit.h"

#include <unistd.h>

// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming): libc's name
extern "C" int __cxa_atexit(void (*fn)(void*), void* arg, void* library) noexcept;

namespace ream::os {

// As a handler of no library, it is not called earlier with the destructors of this one.
bool at_exit(void (*fn)() noexcept) noexcept {
  const auto call = [](void* f) noexcept { reinterpret_cast<void (*)() noexcept>(f)(); };
  return __cxa_atexit(call, reinterpret_cast<void*>(fn), nullptr) == 0;
}

std::uint32_t process_id() noexcept { return static_cast<std::uint32_t>(::getpid()); }

}  // namespace ream::os
