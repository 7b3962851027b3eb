// What a pass of background work may still spend, in CPU time of the calling thread. It is spent at
// once where others wait for the locks that the work holds.
//
// Thread safety: belongs to one thread.
#pragma once

#include <atomic>
#include <cstdint>

#include "os/thread.h"

namespace ream {

class WorkBudget {
 public:
  static constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};

  // `waiting` counts those who wait; null: nobody does.
  explicit WorkBudget(std::uint64_t ns, const std::atomic<unsigned>* waiting = nullptr) noexcept
      : until_ns_(ns == kUnlimited ? ns : os::thread_cpu_ns() + ns), waiting_(waiting) {}

  // A system call, unless unlimited.
  [[nodiscard]] bool is_spent() const noexcept {
    if (waiting_ != nullptr && waiting_->load(std::memory_order_relaxed) > 0) return true;
    return until_ns_ != kUnlimited && os::thread_cpu_ns() >= until_ns_;
  }

 private:
  std::uint64_t until_ns_;
  const std::atomic<unsigned>* waiting_;
};

}  // namespace ream
