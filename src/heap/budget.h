// How many bytes of spans a sub-heap has, and how many it may have.
//
// Thread safety: all. A charge is added only if the sum fits, in one step, so threads that charge
// at the same moment never exceed the budget together, not even for a moment.
//
// Invariants:
//  1. Charged only while used() + more <= most() as it was at that moment (or most() was 0).
//  2. peak() = the highest used() since the beginning.
//
// Lifetime: constant-initialised.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/units.h"

namespace ream {

class Budget {
 public:
  // 0: none. A budget below what is used takes nothing away: charges fail until enough is refunded.
  void set(Bytes most) noexcept { most_.store(most.n, std::memory_order_relaxed); }
  [[nodiscard]] Bytes most() const noexcept { return Bytes(most_.load(std::memory_order_relaxed)); }
  [[nodiscard]] Bytes used() const noexcept { return Bytes(used_.load(std::memory_order_relaxed)); }
  [[nodiscard]] Bytes peak() const noexcept { return Bytes(peak_.load(std::memory_order_relaxed)); }

  // By how much `more` bytes exceed the budget.
  [[nodiscard]] Bytes missing(Bytes more) const noexcept {
    const Bytes most = this->most();
    const Bytes sum = used() + more;
    return most == Bytes() || sum <= most ? Bytes() : sum - most;
  }

  // False, and nothing charged, if they do not fit.
  [[nodiscard]] bool charge(Bytes more) noexcept {
    std::uint64_t used = used_.load(std::memory_order_relaxed);
    do {
      const std::uint64_t most = most_.load(std::memory_order_relaxed);
      if (most != 0 && used + more.n > most) return false;
    } while (!used_.compare_exchange_weak(used, used + more.n, std::memory_order_relaxed));
    raise_peak(used + more.n);
    return true;
  }
  // REQUIRES: so much is charged.
  void refund(Bytes bytes) noexcept { used_.fetch_sub(bytes.n, std::memory_order_relaxed); }

  // In the only thread of a fork's child: what is used, if no other thread was about to charge or
  // to refund something.
  void recount(Bytes used) noexcept { used_.store(used.n, std::memory_order_relaxed); }

 private:
  void raise_peak(std::uint64_t used) noexcept {
    std::uint64_t peak = peak_.load(std::memory_order_relaxed);
    while (peak < used && !peak_.compare_exchange_weak(peak, used, std::memory_order_relaxed)) {
    }
  }

  std::atomic<std::uint64_t> most_{0};
  std::atomic<std::uint64_t> used_{0};
  std::atomic<std::uint64_t> peak_{0};
};

}  // namespace ream
