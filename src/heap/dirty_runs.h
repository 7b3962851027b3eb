// The parts of a new run of pages that may not read as zero, so that calloc clears these and no
// others. Bounded: when there are too many parts, neighbours are taken together.
//
// Thread safety: belongs to one thread.
#pragma once

#include <array>
#include <cstdint>

#include "base/units.h"

namespace ream {

class DirtyRuns {
 public:
  static constexpr std::size_t kMaxRuns = 16;

  // REQUIRES: runs are added in address order and do not overlap.
  void add(Addr base, Bytes bytes) noexcept;

  // Makes them read as zero. A large run that is hardly resident is given back to the OS instead of
  // being touched; not without `by_os`, for memory that the OS cannot give back in parts.
  void clear(bool by_os = true) const noexcept;

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] Bytes total() const noexcept;

 private:
  struct Run {
    Addr base;
    Bytes bytes;
  };

  std::array<Run, kMaxRuns> runs_{};
  std::size_t count_ = 0;
};

}  // namespace ream
