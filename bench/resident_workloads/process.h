// What the kernel tells about this process: its memory, its time, its other threads.
//
// Reading allocates nothing, so that looking does not change what is looked at. Each function ends
// the process if the kernel does not tell.

#ifndef REAM_BENCH_RESIDENT_WORKLOADS_PROCESS_H_
#define REAM_BENCH_RESIDENT_WORKLOADS_PROCESS_H_

#include <cstdint>

namespace resident {

// Of /proc/self/smaps_rollup, which is exact; the counters of statm may lag by some pages for each
// processor. The kernel walks the page tables: some 10 ms for a GiB.
struct Memory {
  std::int64_t rss_kib;
  std::int64_t anon_huge_kib;  // of rss_kib, in huge pages
  std::int64_t lazy_free_kib;  // of rss_kib, given up by MADV_FREE: the kernel may take it
};
Memory memory_now();

// The highest RSS since the process began or reset_peak_rss() was called.
std::int64_t peak_rss_kib();
void reset_peak_rss();

struct Spent {
  std::int64_t wall_ns;
  std::int64_t cpu_ns;  // of all threads
  std::int64_t minor_faults;
};
Spent spent_now();

// All threads but the calling one. A thread that ends takes its switches with it.
struct OtherThreads {
  std::int64_t count;
  std::int64_t switches;  // voluntary and involuntary
};
OtherThreads other_threads();

// Sleeps until CLOCK_MONOTONIC shows `wall_ns`.
void sleep_until(std::int64_t wall_ns);

}  // namespace resident

#endif  // REAM_BENCH_RESIDENT_WORKLOADS_PROCESS_H_
