// The end of the process, and who it is.
//
// Thread safety: all.
#pragma once

#include <cstdint>

namespace ream::os {

// Has fn called when the process ends by exit() or by returning from main: after the handlers that
// are registered later, and, when called from a constructor of a shared library that is there from
// the start, after the destructors of all libraries. Not called at _exit, quick_exit or a signal.
// May allocate. False when libc has no memory.
[[nodiscard]] bool at_exit(void (*fn)() noexcept) noexcept;

// Whether this thread, a main thread that has ended (pthread_exit) and `others` that do not count
// are all that the process has. Needs /proc: false where that is not to be had. A system call.
[[nodiscard]] bool is_last_thread(unsigned others = 0) noexcept;

// Ends the process as libc does after the last of a program's threads: exit(0), on a thread with a
// stack as programs' threads have it, with no signal blocked. The caller ends at once.
void exit_after_last_thread() noexcept;

// The number that the kernel knows the process by.
[[nodiscard]] std::uint32_t process_id() noexcept;

}  // namespace ream::os
