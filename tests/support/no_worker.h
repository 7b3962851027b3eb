// A program that includes this has no worker in its heap: its tests look at what the heap does at
// which step, and nothing must come in between. Set before the heap reads its options, at its first
// allocation.
#pragma once

#include <cstdlib>

namespace ream::test {

inline const bool g_no_worker = ::setenv("REAM_WORKER", "off", 1) == 0;

}  // namespace ream::test
