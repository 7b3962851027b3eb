// How free memory is cut up: for every order k, the maximal free runs of [2^k, 2^(k+1)) pages.
//
// Thread safety: a plain value.
#pragma once

#include <array>
#include <cstdint>

#include "base/bits.h"
#include "base/units.h"

namespace ream::page {

struct FreeRunHistogram {
  static constexpr unsigned kOrders = 48;

  std::array<std::uint64_t, kOrders> runs{};
  std::array<Pages, kOrders> pages{};

  void add(Pages run) noexcept {
    if (run == Pages()) return;
    const unsigned order = log2_floor(run.n);
    ++runs[order];
    pages[order] += run;
  }
};

}  // namespace ream::page
