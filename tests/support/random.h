// Random numbers for tests. A test makes one from a fixed seed and puts REAM_TRACE_SEED(seed)
// beside it, so that a failure names the seed.
//
// Thread safety: none.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <random>

#include "base/bits.h"

#define REAM_TRACE_SEED(seed) SCOPED_TRACE(::testing::Message() << "seed " << (seed))

namespace ream {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t next() { return engine_(); }
  // In [0, n). REQUIRES: n > 0. (The modulo's bias does not matter here.)
  std::uint64_t below(std::uint64_t n) { return engine_() % n; }
  // In [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + below(high - low + 1);
  }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  // In [0, max], all orders of magnitude alike, so small numbers often.
  std::uint64_t of_any_magnitude(std::uint64_t max) {
    const unsigned order = static_cast<unsigned>(below(log2_floor(max | 1) + 2));
    const std::uint64_t limit = order == 0 ? 0 : low_mask(order);
    return limit == 0 ? 0 : below((limit < max ? limit : max) + 1);
  }
  // One of a container, which is not empty.
  template <class Container>
  auto& pick(Container& from) {
    return from[below(from.size())];
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace ream
