#include "heap/pressure_watch.h"

#include "heap/heap.h"

namespace ream {
namespace {

constexpr std::uint64_t kWindowUs = PressureWatch::kWindowNs / 1000;
constexpr std::uint32_t kLeastAverage =
    100 * 100 / PressureWatch::kPart;  // hundredths of a percent
constexpr unsigned kMostLost = 16;     // groups that went away while the process was in them

}  // namespace

bool PressureWatch::judge(const os::MemoryPressure& now, std::uint64_t now_ns) noexcept {
  const std::uint64_t since_us = (now_ns - looked_ns_) / 1000;
  // Of another group, into which the process was moved, less may have been counted.
  const bool comparable =
      looked_ns_ != 0 && now_ns - looked_ns_ <= kMostSinceNs && now.stalled_us >= stalled_us_;
  pressed_ = now.known && (comparable ? (now.stalled_us - stalled_us_) * kPart >= since_us
                                      : now.avg10 >= kLeastAverage);
  stalled_us_ = now.stalled_us;
  looked_ns_ = now_ns;
  return pressed_;
}

void PressureWatch::start() noexcept {
  process_ = os::process_id();
  state_.store(kListening, std::memory_order_relaxed);
  if (!os::start_thread(run, this)) state_.store(kRefused, std::memory_order_relaxed);
}

void PressureWatch::run(void* watch) noexcept {
  os::set_thread_name("ream-pressure");
  auto& self = *static_cast<PressureWatch*>(watch);
  if (os::leave_open_files()) self.hear();
  self.state_.store(kRefused, std::memory_order_relaxed);
}

void PressureWatch::hear() noexcept {
  for (unsigned lost = 0; lost < kMostLost; ++lost) {
    os::PressureTrigger trigger;
    if (!trigger.arm(kWindowUs / kPart, kWindowUs)) return;
    while (trigger.wait()) {
      if (!g_heap.page_heap().limit().follows()) return;
      heard_.store(true, std::memory_order_relaxed);
      static_cast<void>(g_heap.worker().urge());
    }
  }
}

// A handler of the child that ran before ream's may have started one of the child's own.
void PressureWatch::after_fork_in_child() noexcept {
  if (process_ == os::process_id()) return;
  if (state_.load(std::memory_order_relaxed) == kListening)
    state_.store(kAbsent, std::memory_order_relaxed);
  heard_.store(false, std::memory_order_relaxed);
}

}  // namespace ream
