// What the heap is to do about transparent huge pages (huge_page_policy.h).
#pragma once

#include <cstdint>

namespace ream {

enum class HugePageMode : std::uint8_t {
  kAdaptive,  // where memory is dense and stays so
  kNever,     // none where the heap can prevent it
  kAlways,    // wherever the system gives them
};

// Regions of 2 MiB, over time.
struct HugePageStats {
  std::uint64_t collapsed = 0;        // asked for and huge since
  std::uint64_t refused = 0;          // by the system, of collapses and advice
  std::uint64_t split = 0;            // before a part of one was given back
  std::uint64_t advised = 0;          // to be huge from their first touch
  std::uint64_t advised_against = 0;  // sparse ones, and all where the mode is never
};

}  // namespace ream
