// What a pass of background work may still spend, in CPU time of the calling thread.
//
// Thread safety: belongs to one thread.
#pragma once

#include <cstdint>

#include "os/thread.h"

namespace ream {

class WorkBudget {
 public:
  static constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};

  explicit WorkBudget(std::uint64_t ns) noexcept
      : until_ns_(ns == kUnlimited ? ns : os::thread_cpu_ns() + ns) {}

  // A system call, unless unlimited.
  [[nodiscard]] bool is_spent() const noexcept {
    return until_ns_ != kUnlimited && os::thread_cpu_ns() >= until_ns_;
  }

 private:
  std::uint64_t until_ns_;
};

}  // namespace ream
