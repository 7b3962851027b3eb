// How much free memory the heap keeps: pages in use and pages free but resident together stay near
// the highest use of the recent past, and what the options retain beyond it. A steady program never
// refaults what it uses each moment; one that shrank gives back.
//
//   allowed = max(peak use of this period and of the last) * 17/16
//
// Thread safety: none; the owner's lock guards it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/units.h"

namespace ream {

class PurgePace {
 public:
  static constexpr std::uint64_t kPeriodNs = 1'000'000'000;

  // Notes the use at time `now_ns` (monotonic, coarse is enough).
  void note(Bytes in_use, std::uint64_t now_ns) noexcept {
    if (now_ns - period_begin_ns_ >= kPeriodNs) {
      last_peak_ = now_ns - period_begin_ns_ >= 2 * kPeriodNs ? in_use : peak_;
      peak_ = in_use;
      period_begin_ns_ = now_ns;
    }
    peak_ = std::max(peak_, in_use);
  }

  // The resident memory that free pages and pages in use may take together.
  [[nodiscard]] Bytes allowed() const noexcept {
    const std::uint64_t peak = std::max(peak_.n, last_peak_.n);
    return Bytes(peak + peak / 16);
  }

 private:
  Bytes peak_{};
  Bytes last_peak_{};
  std::uint64_t period_begin_ns_ = 0;
};

}  // namespace ream
