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

// The number that the kernel knows the process by.
[[nodiscard]] std::uint32_t process_id() noexcept;

}  // namespace ream::os
