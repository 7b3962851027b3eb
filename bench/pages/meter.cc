#include "meter.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace ream::bench {
namespace {

std::uint64_t read_clock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// A counter of this thread's instructions outside the kernel; -1 where there is none.
int open_instruction_counter() {
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_HARDWARE;
  attributes.size = sizeof(attributes);
  attributes.config = PERF_COUNT_HW_INSTRUCTIONS;
  attributes.exclude_kernel = 1;
  attributes.exclude_hv = 1;
  return static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

std::uint64_t read_instructions() {
  static const int counter = open_instruction_counter();
  std::uint64_t count = 0;
  if (counter < 0 || read(counter, &count, sizeof(count)) != sizeof(count)) return 0;
  return count;
}

}  // namespace

// The CPU clock is read last here and first in stop(), so that it times no other clock.
void Meter::start() {
  from_.instructions = read_instructions();
  from_.wall_ns = read_clock(CLOCK_MONOTONIC);
  from_.cpu_ns = read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void Meter::stop() {
  total_.cpu_ns += read_clock(CLOCK_THREAD_CPUTIME_ID) - from_.cpu_ns;
  total_.wall_ns += read_clock(CLOCK_MONOTONIC) - from_.wall_ns;
  total_.instructions += read_instructions() - from_.instructions;
}

}  // namespace ream::bench
