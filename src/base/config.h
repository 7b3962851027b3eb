// Compile-time switches, gathered in one place and given names that `if constexpr` can read.
// This file, annotate.h and src/os are the only ones that may contain #if.
#pragma once

#include <cstddef>

// The build defines both as 0 or 1 (see CMakePresets.json); a build without CMake gets neither.
#ifndef REAM_DEBUG
#define REAM_DEBUG 0
#endif
#ifndef REAM_AUDIT_BUILD
#define REAM_AUDIT_BUILD 0
#endif

namespace ream {

inline constexpr bool kDebug = REAM_DEBUG != 0;        // REAM_ASSERT is executed
inline constexpr bool kAudit = REAM_AUDIT_BUILD != 0;  // REAM_AUDIT walkers are executed

inline constexpr std::size_t kCacheLineBytes = 64;

inline constexpr const char* kVersion = "0.1.0";

}  // namespace ream
