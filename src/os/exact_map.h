// The mmap flag that maps at the hint or not at all. For the files of src/os and the fake OS.
#pragma once

#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

namespace ream::os {

// Two callees take it for a plain hint, so the result may be elsewhere and has to be given back
// then: kernels before 4.17, which ignore the flag, and the race detector, which has memory for
// shadow only in places of its choice, turns a hint outside them into 0, and with the flag would
// map at address 0.
#if defined(__SANITIZE_THREAD__)
inline constexpr int kMapExactly = 0;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr int kMapExactly = 0;
#else
inline constexpr int kMapExactly = MAP_FIXED_NOREPLACE;
#endif
#else
inline constexpr int kMapExactly = MAP_FIXED_NOREPLACE;
#endif

}  // namespace ream::os
