// The clock. A file of its own, so that tests can put a made-up one in its place.
//
// Thread safety: all.
#pragma once

#include <cstdint>

namespace ream::os {

// Nanoseconds of a clock that never goes back and is not set; steps of 1 to 10 ms, costs about 5
// ns. Stands still while the machine sleeps.
[[nodiscard]] std::uint64_t now_ns() noexcept;

}  // namespace ream::os
