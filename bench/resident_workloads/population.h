// The live objects of a workload, with every byte written, and the sizes they are made in.
//
// Freeing does not read an object: an allocator that leaves freed memory alone shall show it. The
// stamps that each object carries are checked once, when everything has been measured.

#ifndef REAM_BENCH_RESIDENT_WORKLOADS_POPULATION_H_
#define REAM_BENCH_RESIDENT_WORKLOADS_POPULATION_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "../workloads/support.h"
#include "mapped_array.h"

namespace resident {

using SizeOf = std::size_t (*)(bench::Rng&);

// In [lo, hi), the logarithm uniform.
std::size_t log_uniform(bench::Rng& rng, std::size_t lo, std::size_t hi);

// What programs keep: 70 % of the objects are of 16 to 128 bytes, 20 % up to 1 KiB, 8 % up to 8 KiB
// and 2 % up to 64 KiB, log-uniform in each band. The mean is 951 bytes; most bytes are in the
// large ones.
std::size_t mixed_size(bench::Rng& rng);

// Uniform in [1 KiB, 32 KiB).
std::size_t buffer_size(bench::Rng& rng);

class Population {
 public:
  // The beginning of a workload: reports the start, then the phase "full", in which it is filled.
  Population(std::uint64_t live_bytes, SizeOf size_of, bench::Rng& rng);

  // Adds objects until `live_bytes` are live.
  void fill(std::uint64_t live_bytes, SizeOf size_of, bench::Rng& rng);

  // Puts the objects in random order.
  void shuffle(bench::Rng& rng);

  // Frees all but the first `keep`, from the last to the first.
  void free_down_to(std::size_t keep);

  // OS pages that hold a byte of a live object. Takes memory of its own while it counts.
  std::uint64_t pages_held() const;

  // Checks every object's stamp, frees all and returns a checksum.
  std::uint64_t drop_all();

  std::size_t count() const { return count_; }
  std::uint64_t live_bytes() const { return live_bytes_; }
  std::span<bench::Block> blocks() { return blocks_.all().first(count_); }

 private:
  // Room for objects of 512 bytes on average, or more.
  static std::size_t report_and_room_for(std::uint64_t live_bytes);

  MappedArray<bench::Block> blocks_;
  std::size_t count_ = 0;
  std::uint64_t live_bytes_ = 0;  // requested bytes of the first count_ blocks
  std::uint32_t next_tag_ = 0;
};

}  // namespace resident

#endif  // REAM_BENCH_RESIDENT_WORKLOADS_POPULATION_H_
