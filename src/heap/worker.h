// The worker: one thread that gives memory back which the program no longer needs, so that the
// program's threads need not, and so that it goes back while the program is idle.
//
//             start_if_due                 notify
//   (absent) -------------> working <------------------ asleep
//      ^  child of a fork    |   ^ tick, or urge           ^
//      +---------------------+   +------- dozing <---------+---- nothing left to do
//
// A pass looks at what changed: large spans that lie in the cache unused, objects in the caches of
// threads that sleep, spans whose free objects leave whole OS pages free, free pages beyond what
// the program needed of late. While any of it may become due the worker dozes from tick to tick;
// when the heap is clean it sleeps until a slow path notifies it. It spends at most a hundredth of
// the time on the work, save up to kMostBurstNs that it has not used before.
//
// The worker must not keep a process alive: libc ends one after the last of its threads. Where the
// main thread has ended before others (pthread_exit), the worker looks at each tick whether it is
// the last, and if so ends the process.
//
// A small heap has none. Where there is none (also: no resources for a thread, or REAM_WORKER=off)
// the same work is done in slices, on slow paths that free or grow.
//
// Thread safety: all. Fork: the child has no worker until its heap needs one; Heap::before_fork
// waits until it holds no lock. Lifetime: constant-initialised; the thread lives as long as the
// process.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/annotate.h"
#include "base/root_access.h"
#include "base/units.h"
#include "os/os.h"

namespace ream {

class Heap;

class Worker {
 public:
  static constexpr Bytes kLeastHeap = 16_MiB;            // below, there is no worker
  static constexpr std::uint64_t kTickNs = 250'000'000;  // between passes
  static constexpr std::uint64_t kShare = 100;           // a pass rests this many times its work
  static constexpr std::uint64_t kMostBurstNs = 600'000'000;

  // Starts it if the heap has grown enough. For allocations only, with no lock held: libc frees
  // while it holds locks that starting a thread takes.
  REAM_INLINE void start_if_due(Bytes grown) noexcept {
    if (grown >= kLeastHeap && state_.load(std::memory_order_relaxed) == kAbsent) [[unlikely]]
      start();
  }

  // Something changed that may make memory due some time from now. A few instructions.
  REAM_INLINE void notify() noexcept {
    if (!dirty_.load()) wake();  // not before the change that it announces
  }

  // Memory is due now. False when there is no worker to do it.
  bool urge() noexcept;

  [[nodiscard]] bool is_running() const noexcept {
    return state_.load(std::memory_order_relaxed) > kRefused;
  }
  // Nothing is left to do, and nothing changed since.
  [[nodiscard]] bool is_asleep() const noexcept {
    return state_.load(std::memory_order_relaxed) == kAsleep;
  }

  // The main thread ends, which does not end the process.
  REAM_COLD void main_thread_ends() noexcept;

  void after_fork_in_child() noexcept;

 private:
  friend struct inspect::RootAccess;

  enum State : std::uint32_t { kAbsent, kRefused, kWorking, kDozing, kAsleep };

  REAM_COLD void start() noexcept;
  REAM_COLD void wake() noexcept;
  static void run(void* worker) noexcept;
  void rest(bool clean) noexcept;
  bool wake_from(State state) noexcept;

  std::atomic<std::uint32_t> state_{kAbsent};
  std::atomic<bool> dirty_{false};  // something changed since the last pass began
  std::atomic<bool> urged_{false};
  std::atomic<bool> main_ended_{false};
  std::uint32_t process_ = 0;  // that started it last; changes by who moves state_ from kAbsent
};

}  // namespace ream
