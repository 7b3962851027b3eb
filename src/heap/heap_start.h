// Starting the heap: message sink, options, fork handlers. Runs once, in the first thread that
// takes a slow path, perhaps before main and before libc's own constructors.
//
// Thread safety: all.
#pragma once

namespace ream {

// Idempotent; returns at once for every call but the first.
void start_heap() noexcept;

}  // namespace ream
