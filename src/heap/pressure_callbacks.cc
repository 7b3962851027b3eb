#include "heap/pressure_callbacks.h"

namespace ream {
namespace {

// The entry that this thread is in, of any table; null when it is in none.
constinit thread_local const void* t_inside [[gnu::tls_model("initial-exec")]] = nullptr;

constexpr std::uint64_t kPauseNs = 100'000;  // between looks whether another thread is done

}  // namespace

bool PressureCallbacks::add(const Callback& callback) noexcept {
  os::MutexLock hold(lock_);
  for (Entry& entry : entries_) {
    if (entry.callback.function != nullptr || entry.running != 0) continue;
    entry.callback = callback;
    return true;
  }
  return false;
}

bool PressureCallbacks::remove(Callback::Function function, const void* arg) noexcept {
  Entry* found = nullptr;
  {
    os::MutexLock hold(lock_);
    for (Entry& entry : entries_) {
      if (entry.callback.function != function || entry.callback.arg != arg) continue;
      entry.callback = {};
      found = &entry;
      break;
    }
  }
  if (found == nullptr) return false;
  for (bool gone = t_inside != nullptr; !gone;) {
    {
      os::MutexLock hold(lock_);
      gone = found->running == 0 || found->callback.function != nullptr;
    }
    if (!gone) os::sleep_ns(kPauseNs);
  }
  return true;
}

bool PressureCallbacks::call(PressureLevel level, Bytes wanted) noexcept {
  if (t_inside != nullptr) return false;
  bool called = false;
  for (std::uint32_t i = 0; i < kMost; ++i) {
    Callback callback;
    {
      os::MutexLock hold(lock_);
      callback = entries_[i].callback;
      if (callback.function == nullptr) continue;
      ++entries_[i].running;
      t_inside = &entries_[i];
    }
    callback.invoke(callback.function, level, wanted, callback.arg);
    t_inside = nullptr;
    called = true;
    os::MutexLock hold(lock_);
    --entries_[i].running;
  }
  return called;
}

// The other threads that were in an entry do not exist here.
void PressureCallbacks::after_fork_in_child() noexcept {
  os::MutexLock hold(lock_);
  for (Entry& entry : entries_) entry.running = t_inside == &entry ? 1 : 0;
}

}  // namespace ream
