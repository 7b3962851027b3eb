// Counts loads of this thread, in user space, that miss the processor's data TLB.

#ifndef REAM_BENCH_RESIDENT_WORKLOADS_TLB_MISSES_H_
#define REAM_BENCH_RESIDENT_WORKLOADS_TLB_MISSES_H_

#include <cstdint>

namespace resident {

class TlbMisses {
 public:
  // Begins to count, where the machine and its settings permit it.
  TlbMisses();
  TlbMisses(const TlbMisses&) = delete;
  TlbMisses& operator=(const TlbMisses&) = delete;
  ~TlbMisses();

  // Those so far; -1 where they cannot be counted.
  std::int64_t count() const;

 private:
  int event_;
};

}  // namespace resident

#endif  // REAM_BENCH_RESIDENT_WORKLOADS_TLB_MISSES_H_
