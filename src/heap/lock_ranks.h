// The order of the heap's locks: a thread takes them in rising rank. Debug builds check it.
#pragma once

#include "os/mutex.h"

namespace ream::rank {

inline constexpr auto kIdleCaches =
    static_cast<os::LockRank>(5);  // taking from other threads' caches
inline constexpr auto kThreadCaches =
    static_cast<os::LockRank>(10);  // the registry of thread caches
inline constexpr auto kSparsePurge = static_cast<os::LockRank>(15);
inline constexpr auto kSubHeaps = static_cast<os::LockRank>(16);  // the registry of sub-heaps
inline constexpr auto kTransfer = static_cast<os::LockRank>(17);  // one transfer cache
inline constexpr auto kSubHeap = static_cast<os::LockRank>(18);   // what one sub-heap consists of
inline constexpr auto kCentral = static_cast<os::LockRank>(20);   // one central list
inline constexpr auto kPageHeap = static_cast<os::LockRank>(30);
inline constexpr auto kPressureCallbacks = static_cast<os::LockRank>(40);

}  // namespace ream::rank
