// What a workload of bench_resident is, and the families of them, one file each.
//
// A workload does the same operations under every allocator: all choices come from seeded
// generators. It writes a line for each phase (phase.h) and returns a checksum over what it did.

#ifndef REAM_BENCH_RESIDENT_WORKLOADS_WORKLOAD_H_
#define REAM_BENCH_RESIDENT_WORKLOADS_WORKLOAD_H_

#include <cstdint>
#include <span>

#include "../workloads/support.h"

namespace resident {

// How much of a workload to do. At 1 and 1 it is what its name says.
struct Effort {
  double size;   // of the heap, or of the number of operations
  double waits;  // of the time that passes while nothing, or little, is done

  std::uint64_t sized(std::uint64_t count) const { return bench::scaled(count, size); }
  std::int64_t wait_ns(double seconds) const {
    return static_cast<std::int64_t>(seconds * waits * 1e9);
  }
};

struct Workload {
  const char* name;
  const char* about;  // one line, printed by --list
  std::uint64_t (*run)(const Effort& effort);
};

// main.cc lists them in this order.
std::span<const Workload> expiries();
std::span<const Workload> releases();
std::span<const Workload> paces();
std::span<const Workload> sleepers();
std::span<const Workload> scales();
std::span<const Workload> random_accesses();

}  // namespace resident

#endif  // REAM_BENCH_RESIDENT_WORKLOADS_WORKLOAD_H_
