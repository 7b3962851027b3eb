// Pressure stall information: how long tasks had to wait for memory, as the kernel counts it. Of
// the control group that the process runs in (version 2: memory.pressure), or of the machine
// (/proc/pressure/memory) where there is no such group or it does not say.
//
//   some avg10=1.53 avg60=0.41 avg300=0.09 total=3843011     "some": at least one task waited
//   full ...
//
// The kernel sums up every two seconds: `stalled_us` does not change more often.
//
// Thread safety: all; a trigger belongs to one thread.
#pragma once

#include <cstdint>

namespace ream::os {

struct MemoryPressure {
  bool known = false;            // false: no such file, not readable, switched off, not understood
  std::uint32_t avg10 = 0;       // of the last ten seconds, in hundredths of a percent
  std::uint64_t stalled_us = 0;  // since the group, or the machine, began
};

// `root` is put before /proc and /sys: empty in life, a made-up tree in tests. Cost: a few small
// reads; nothing is kept between calls.
[[nodiscard]] MemoryPressure read_memory_pressure(const char* root = "") noexcept;

// Has the kernel say when tasks have waited for so much of a window. It holds an open file: a
// thread that shares its files with the program (leave_open_files) must not keep one, since the
// program may close it, and have the number for a file of its own.
class PressureTrigger {
 public:
  PressureTrigger() noexcept = default;
  ~PressureTrigger();
  PressureTrigger(const PressureTrigger&) = delete;
  PressureTrigger& operator=(const PressureTrigger&) = delete;

  // Asks for it, of what read_memory_pressure reads. False when that is not known, or the kernel
  // does not let us: who has no privileges may do so from Linux 6.4 on, for windows of whole 2 s.
  // REQUIRES: not armed yet.
  [[nodiscard]] bool arm(std::uint64_t stalled_us, std::uint64_t window_us,
                         const char* root = "") noexcept;

  // Sleeps until there is pressure, without waking meanwhile; it returns once a window at most.
  // False when the group has gone, so that there will never be any. REQUIRES: armed.
  [[nodiscard]] bool wait() noexcept;

 private:
  int fd_ = -1;
};

}  // namespace ream::os
