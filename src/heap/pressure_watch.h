// Hears that memory is short: in the control group, or where there is none, on the machine.
//
//   the worker is awake    it reads how long tasks have waited, every kLookNs          look()
//   the worker sleeps      another thread sleeps in the kernel until there is pressure,
//                          and then wakes the worker                                   listen()
//
// Why both: a reading costs nothing but a few microseconds of a pass that is made anyway, and needs
// no right but to read; but a worker that sleeps reads nothing. A descriptor that the worker itself
// waited on would have to lie among the program's open files, since callbacks of the program run on
// the worker; and the program may close it. So a thread with open files of its own waits. It is
// started when the worker first goes to sleep, and runs only when there is pressure.
//
// Thread safety: look(), listen() and take_sign() by the worker alone; threads() from any thread.
// Fork: the child has no listener until its own worker sleeps.
// Lifetime: constant-initialised; the listener lives as long as the process, or ends for good where
// it cannot listen, or the group's limits are no longer followed.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/annotate.h"
#include "os/pressure.h"

namespace ream {

class PressureWatch {
 public:
  // Pressure: in so much of the time some task waited for memory.
  static constexpr std::uint64_t kPart = 10;                     // a tenth
  static constexpr std::uint64_t kWindowNs = 2'000'000'000;      // in which the kernel looks for it
  static constexpr std::uint64_t kLookNs = kWindowNs;            // it does not count more often
  static constexpr std::uint64_t kMostSinceNs = 10'000'000'000;  // between looks that are compared

  // Whether there is pressure; of the last look, where that was less than kLookNs ago.
  [[nodiscard]] bool look(std::uint64_t now_ns) noexcept {
    if (now_ns < looked_ns_ + kLookNs && looked_ns_ != 0) return pressed_;
    return judge(os::read_memory_pressure(), now_ns);
  }
  // What a look makes of what it has read. Between looks that lie far apart what was counted tells
  // little: then the kernel's average does.
  [[nodiscard]] bool judge(const os::MemoryPressure& now, std::uint64_t now_ns) noexcept;

  // Has pressure heard of while the worker sleeps, if that can be had. REQUIRES: no lock is held.
  void listen() noexcept {
    if (state_.load(std::memory_order_relaxed) == kAbsent) [[unlikely]]
      start();
  }
  // Whether the listener has heard of pressure since the last call.
  [[nodiscard]] bool take_sign() noexcept {
    return heard_.load(std::memory_order_relaxed) &&
           heard_.exchange(false, std::memory_order_relaxed);
  }
  // Of this class, in the process.
  [[nodiscard]] unsigned threads() const noexcept {
    return state_.load(std::memory_order_relaxed) == kListening ? 1 : 0;
  }

  void after_fork_in_child() noexcept;

 private:
  enum State : std::uint32_t { kAbsent, kRefused, kListening };

  REAM_COLD void start() noexcept;
  static void run(void* watch) noexcept;
  void hear() noexcept;

  std::atomic<std::uint32_t> state_{kAbsent};
  std::atomic<bool> heard_{false};
  std::uint32_t process_ = 0;  // that started the listener last
  bool pressed_ = false;       // this and the next: of the last look
  std::uint64_t stalled_us_ = 0;
  std::uint64_t looked_ns_ = 0;  // 0: never
};

}  // namespace ream
