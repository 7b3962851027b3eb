// Memory limits: what the heap does as the figure of MemoryLimit nears them.
//
//   above soft      relieve()     worker, else the thread that grows: give back, call SOFT
//   pressure        relieve()     worker: give all back, call SOFT
//   hard would be   make_room()   the thread that grows: free pages; then caches, spans; then call
//   exceeded                      HARD; then refuse
#include <algorithm>

#include "heap/heap.h"
#include "heap/options.h"

namespace ream {
namespace {

// Other threads may take the room that one has made, so it tries several times.
constexpr unsigned kMostAttempts = 16;
constexpr unsigned kLastAttempt = ~0u;

// What callbacks are asked for under pressure, where no limit says how much is too much.
constexpr std::uint64_t kWantedPart = 8;

}  // namespace

void Heap::reclaim_everything() noexcept {
  caches_.take_all(*this);
  reclaim();
  static_cast<void>(sparse_.all(*this));
}

bool Heap::make_room(Bytes bytes, unsigned& attempt) noexcept {
  if (attempt >= kMostAttempts) return false;
  const bool first = attempt++ == 0;
  MemoryLimit& limit = page_heap_.limit();
  follow_group(MemoryLimit::kFollowNearNs);
  if (limit.admits(bytes)) {
    // The system has no more, or another thread has given some back meanwhile.
    if (first) {
      reclaim();
    } else {
      attempt = kLastAttempt;
      if (limit.hard() == Bytes()) return false;
      reclaim_everything();
      page_heap_.purge_all();
    }
    return true;
  }
  if (page_heap_.make_room(bytes)) return true;
  reclaim_everything();
  if (page_heap_.make_room(bytes)) return true;
  const bool called = callbacks_.call(PressureLevel::kHard, limit.missing(bytes));
  if (called) {
    reclaim_everything();
    if (page_heap_.make_room(bytes)) return true;
  }
  attempt = kLastAttempt;  // less may be needed than asked for, where pages in use have room
  return true;
}

void Heap::relieve() noexcept {
  MemoryLimit& limit = page_heap_.limit();
  const std::uint64_t begin_ns = os::now_ns();
  if (!limit.begin_relief(begin_ns)) return;
  const bool pressed = limit.take_pressure();
  const auto give_back = [this, pressed]() noexcept {
    if (pressed) {
      page_heap_.purge_all();
    } else {
      static_cast<void>(page_heap_.give_back_excess(WorkBudget(WorkBudget::kUnlimited)));
    }
  };
  reclaim_everything();
  give_back();
  Bytes wanted = limit.over_soft();
  if (pressed) wanted = std::max(wanted, Bytes(limit.in_use().n / kWantedPart));
  if (wanted != Bytes() && callbacks_.call(PressureLevel::kSoft, wanted)) {
    if (pressed) {
      reclaim_everything();
    } else {
      reclaim();
    }
    give_back();
  }
  limit.end_relief(begin_ns, os::now_ns());
}

bool Heap::hear_pressure() noexcept {
  MemoryLimit& limit = page_heap_.limit();
  if (!limit.follows()) return false;
  const bool pressed = pressure_.look(os::now_ns());
  if (pressure_.take_sign() || pressed) limit.press();
  return pressed;
}

void Heap::relieve_without_worker() noexcept {
  if (!worker_.is_running()) relieve();
}

bool Heap::set_memory_limit(Bytes soft, Bytes hard) noexcept {
  if (hard != Bytes() && soft > hard) return false;
  page_heap_.limit().follow(false);
  page_heap_.limit().set(soft, hard);
  page_heap_.limit_changed();
  return true;
}

void Heap::set_limit_of_options() noexcept {
  const Options& o = options();
  MemoryLimit& limit = page_heap_.limit();
  limit.set(o.soft_limit, o.hard_limit);
  limit.follow(o.limit_of_group);
  follow_group(0);
}

void Heap::follow_group(std::uint64_t age_ns) noexcept {
  MemoryLimit& limit = page_heap_.limit();
  if (!limit.begin_look(os::now_ns(), age_ns)) return;
  limit.set_from(os::read_cgroup_memory());
}

}  // namespace ream
