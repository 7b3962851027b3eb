// A part of a workload that is measured, and the line of JSON that it leaves on standard output:
//
//   {"phase": "fill", "rss_kib": 1, "anon_huge_kib": 0, "lazy_free_kib": 0, "wall_us": 1,
//    "cpu_us": 1, "minor_faults": 1}
//
// and fields of the workload's own. Memory is that at the phase's end; time and faults are the
// phase's own. They stop before memory is looked at, which takes a while.

#ifndef REAM_BENCH_RESIDENT_WORKLOADS_PHASE_H_
#define REAM_BENCH_RESIDENT_WORKLOADS_PHASE_H_

#include <cstdint>
#include <initializer_list>

#include "process.h"

namespace resident {

struct Field {
  const char* name;
  std::int64_t value;
};

class Phase {
 public:
  explicit Phase(const char* name) : name_(name), begun_(spent_now()) {}

  void end(std::initializer_list<Field> own = {}) const;

 private:
  const char* name_;
  Spent begun_;
};

// The line of phase "start": what the process holds before the workload does anything, and what the
// workload's own notes will hold as long as it runs.
void report_start(std::int64_t bookkeeping_bytes);

// Lines are kept in a buffer of our own, since stdio would allocate one.
void keep_lines_here();

}  // namespace resident

#endif  // REAM_BENCH_RESIDENT_WORKLOADS_PHASE_H_
