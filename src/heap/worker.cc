#include "heap/worker.h"

#include <algorithm>

#include "heap/heap.h"
#include "heap/options.h"

namespace ream {

void Worker::start() noexcept {
  std::uint32_t absent = kAbsent;
  if (!state_.compare_exchange_strong(absent, kWorking, std::memory_order_relaxed)) return;
  process_ = os::process_id();
  if (!options().worker || !os::start_thread(run, this)) {
    state_.store(kRefused, std::memory_order_relaxed);
    return;
  }
  g_heap.page_heap().set_worker(this);
}

// The mark is set before the state is read, and rest() sets the state before it reads the mark: one
// of the two sees the other.
void Worker::wake() noexcept {
  if (dirty_.exchange(true)) return;
  static_cast<void>(wake_from(kAsleep));
}

bool Worker::urge() noexcept {
  if (!is_running()) return false;
  dirty_.store(true, std::memory_order_relaxed);
  urged_.store(true);
  static_cast<void>(wake_from(kAsleep) || wake_from(kDozing));
  return true;
}

bool Worker::wake_from(State state) noexcept {
  std::uint32_t expected = state;
  if (state_.load() != expected || !state_.compare_exchange_strong(expected, kWorking))
    return false;
  os::futex_wake(&state_, 1);
  return true;
}

void Worker::run(void* worker) noexcept {
  os::set_thread_name("ream-worker");
  auto& self = *static_cast<Worker*>(worker);
  std::uint64_t may_spend_ns = kMostBurstNs;
  std::uint64_t before_ns = os::now_ns();
  for (;;) {
    self.dirty_.exchange(false);
    self.urged_.store(false, std::memory_order_relaxed);
    const std::uint64_t begin_cpu_ns = os::thread_cpu_ns();
    const bool clean = g_heap.tidy(WorkBudget(may_spend_ns, g_heap.forking()));
    const std::uint64_t spent_ns = os::thread_cpu_ns() - begin_cpu_ns;
    self.rest(clean && !self.main_ended_.load(std::memory_order_relaxed));
    if (self.main_ended_.load(std::memory_order_relaxed) &&
        os::is_last_thread(g_heap.pressure().threads()))
      return os::exit_after_last_thread();
    const std::uint64_t now_ns = os::now_ns();
    may_spend_ns -= std::min(may_spend_ns, spent_ns);
    may_spend_ns = std::min(may_spend_ns + (now_ns - before_ns) / kShare, kMostBurstNs);
    before_ns = now_ns;
  }
}

void Worker::rest(bool clean) noexcept {
  if (clean) {
    state_.store(kAsleep);
    if (dirty_.load()) state_.store(kWorking);
    while (state_.load() == kAsleep) os::futex_wait(&state_, kAsleep);
  }
  // What has just changed becomes due a tick from now, or later.
  if (urged_.load()) return;
  state_.store(kDozing);
  if (!urged_.load()) os::futex_wait_for(&state_, kDozing, kTickNs);
  state_.store(kWorking);
}

void Worker::main_thread_ends() noexcept {
  main_ended_.store(true, std::memory_order_relaxed);
  static_cast<void>(urge());
}

// A handler of the child that ran before ream's may have started one of the child's own.
void Worker::after_fork_in_child() noexcept {
  main_ended_.store(false, std::memory_order_relaxed);
  if (process_ == os::process_id()) {
    if (is_running()) g_heap.page_heap().set_worker(this);
    return;
  }
  if (state_.load(std::memory_order_relaxed) != kRefused)
    state_.store(kAbsent, std::memory_order_relaxed);
  dirty_.store(false, std::memory_order_relaxed);
  urged_.store(false, std::memory_order_relaxed);
}

}  // namespace ream
