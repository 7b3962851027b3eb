// Memory limits of the control group that the process runs in, versions 1 and 2.
//
// The limit that counts is the lowest one from the process's own group up to the root. In a
// container that sees its group as the root, that is the container's.
//
// Thread safety: all. Cost: some dozen small reads; nothing is kept between calls.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace ream::os {

enum class CgroupKind : std::uint8_t {
  kValue,       // `bytes` holds it
  kNoLimit,     // the group says "max", or is the root, which has none
  kAbsent,      // no control group with memory, or no such file in it
  kUnreadable,  // the file is there, but opening or reading it failed
  kMalformed,   // its content is not a number
};

struct CgroupValue {
  CgroupKind kind = CgroupKind::kAbsent;
  Bytes bytes;
};

struct CgroupMemory {
  unsigned version = 0;  // 1, 2, or 0: no control group with memory
  CgroupValue limit;     // hard: memory.max, or memory.limit_in_bytes
  CgroupValue high;      // the kernel slows and reclaims above it: memory.high; absent in version 1
  CgroupValue current;  // in use by the group whose limit `limit` is (the own one if there is none)
};

// `root` is put before /proc and /sys: empty in life, a made-up tree in tests.
[[nodiscard]] CgroupMemory read_cgroup_memory(const char* root = "") noexcept;

}  // namespace ream::os
