// What a stretch of work costs this thread: CPU time, time of day, and instructions where the
// kernel lets the processor's counters be read.
//
// CPU time is what is compared: it tells a busy machine from slow code. Go's benchmarks take the
// same clock.
//
// Thread safety: none; a meter belongs to the thread that made it.
#pragma once

#include <cstdint>

namespace ream::bench {

struct Cost {
  std::uint64_t cpu_ns = 0;
  std::uint64_t wall_ns = 0;
  std::uint64_t instructions = 0;  // 0 where they cannot be counted
};

class Meter {
 public:
  void start();
  void stop();
  [[nodiscard]] const Cost& total() const { return total_; }

 private:
  Cost from_{};
  Cost total_{};
};

enum class Part { kWhole, kAlloc, kFree };

// Runs and measures body(). A function of its own for each part, so that callgrind can be told to
// count only what happens inside (compare --instructions).
template <Part kPart = Part::kWhole, class Body>
[[gnu::noinline]] void timed(Meter& meter, Body body) {
  meter.start();
  body();
  meter.stop();
}

}  // namespace ream::bench
