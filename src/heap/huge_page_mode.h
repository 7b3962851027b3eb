// What the heap is to do about huge pages (huge_page_policy.h, page_heap_pool.cc).
#pragma once

#include <cstdint>

namespace ream {

enum class HugePageMode : std::uint8_t {
  kAdaptive,  // where memory is dense and stays so
  kNever,     // none where the heap can prevent it
  kAlways,    // wherever the system gives them
  kExplicit,  // new memory from the system's pool, while that has some; no advice
};

// Regions of 2 MiB, over time.
struct HugePageStats {
  std::uint64_t collapsed = 0;        // asked for and huge since
  std::uint64_t refused = 0;          // by the system, of collapses and advice
  std::uint64_t split = 0;            // before a part of one was given back
  std::uint64_t advised = 0;          // to be huge from their first touch
  std::uint64_t advised_against = 0;  // sparse ones, and all where the mode is never
  std::uint64_t pooled = 0;           // now: pages of the system's pool
  std::uint64_t pool_refused = 0;     // growths for which it had too few
};

}  // namespace ream
