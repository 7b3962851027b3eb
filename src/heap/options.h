// What the environment may set. Read once, at the start of the heap; an unknown name that begins
// with REAM_ and a value that does not parse are named on stderr once and ignored.
//
//   REAM_RETAIN=SIZE    free memory kept beyond the recent peak of use (default 4M), and a quarter
//   of
//                       it while the program is idle; SIZE is a number of bytes, or one followed by
//                       K, M or G
//   REAM_WORKER=on|off  a thread that gives memory back (default on); without it threads that free
//                       or grow do it in slices
//   REAM_MEMORY_LIMIT=SIZE         resident memory of the heap: hard limit, soft is 7/8 of it
//                    soft=SIZE,hard=SIZE  either or both, in this order
//                    auto          those of the control group, and its memory pressure
//                                  (docs/memory-limits.md)
//   REAM_HUGE_PAGES=never|adaptive|always|explicit
//                       huge pages (default adaptive): transparent ones where memory is dense and
//                       stays so; explicit: those of the system's pool (docs/huge-pages.md)
//   REAM_NUMA=on|off    on a machine of several memory nodes, spans stay at the node of their first
//                       user (default on; docs/numa.md)
//   REAM_REPORT=FILE    at exit, a report of the heap is written to FILE (`ream run --report` sets
//   it)
//
// Thread safety: constant after read_options.
#pragma once

#include "base/units.h"
#include "heap/huge_page_mode.h"

namespace ream {

struct Options {
  Bytes retain = 4_MiB;
  bool worker = true;
  Bytes soft_limit{};           // 0: none
  Bytes hard_limit{};           // likewise
  bool limit_of_group = false;  // the two are the control group's
  HugePageMode huge_pages = HugePageMode::kAdaptive;
  bool numa = true;
  const char* report = nullptr;  // in the environment, so it lives as long as the process
};

// Messages go to the message sink.
void read_options() noexcept;

[[nodiscard]] const Options& options() noexcept;

// The parser itself, on any environment: a null-terminated array of NAME=VALUE.
[[nodiscard]] Options parse_options(const char* const* environment) noexcept;

}  // namespace ream
