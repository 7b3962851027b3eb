// The random numbers and the checksum of tests/oracle/FORMAT.md, sections 2 and 6: with the same
// seeds a mix here does what Go's benchmark of that name does, and arrives at the same checksum.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <vector>

#include "replay/heap_state.h"

namespace ream::bench {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15;
    std::uint64_t z = state_;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  // In [0, n). REQUIRES: n < 2^32.
  std::uint64_t below(std::uint64_t n) { return (next() >> 32) * n >> 32; }

  // So many numbers in [0, n), drawn one after the other.
  std::vector<std::uint32_t> many_below(std::uint64_t count, std::uint64_t n) {
    std::vector<std::uint32_t> all(count);
    for (std::uint32_t& x : all) x = static_cast<std::uint32_t>(below(n));
    return all;
  }

 private:
  std::uint64_t state_;
};

// Of the pages that a mix was given; the low 32 bits count.
class Checksum {
 public:
  void add(std::uint64_t word) { hash_ = replay::mix(hash_, word); }
  [[nodiscard]] std::uint32_t low() const { return static_cast<std::uint32_t>(hash_); }

 private:
  std::uint64_t hash_ = replay::kHashStart;
};

}  // namespace ream::bench
