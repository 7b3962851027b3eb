// What the program asked to be called for when memory gets scarce: a fixed table. The heap has one,
// and so has each sub-heap that was asked for it.
//
// Thread safety: all. No lock is held while a function of the program runs, so it may allocate,
// free, and change this table. Several threads may be in one function at once. A thread that is in
// one is not called again from within it, by no table. Fork: the child has the parent's table.
// Lifetime: constant-initialised, never destroyed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/annotate.h"
#include "base/units.h"
#include "heap/lock_ranks.h"
#include "os/mutex.h"

namespace ream {

enum class PressureLevel : std::uint8_t { kSoft = 1, kHard = 2 };

class PressureCallbacks {
 public:
  static constexpr std::size_t kMost = 64;

  // A function of unknown type with what it is passed; `invoke` knows the type.
  struct Callback {
    using Function = void (*)();
    using Invoke = void (*)(Function, PressureLevel, Bytes wanted, void* arg);
    Invoke invoke = nullptr;
    Function function = nullptr;
    void* arg = nullptr;
  };

  // False when the table is full. The same one may be entered several times.
  [[nodiscard]] bool add(const Callback& callback) noexcept REAM_EXCLUDES(lock_);

  // Takes out one entry with this function and arg; false when there is none. When it returns, no
  // other thread is in that call any more; called from within a callback it does not wait.
  bool remove(Callback::Function function, const void* arg) noexcept REAM_EXCLUDES(lock_);

  // Calls all in the order of the table. False when there is none, or when this thread is in a
  // callback already. REQUIRES: no lock is held.
  bool call(PressureLevel level, Bytes wanted) noexcept REAM_EXCLUDES(lock_);

  // For the handlers of fork.
  [[nodiscard]] os::Mutex& lock() noexcept REAM_TSA(lock_returned(lock_)) { return lock_; }
  void after_fork_in_child() noexcept REAM_EXCLUDES(lock_);

 private:
  struct Entry {
    Callback callback;
    std::uint32_t running = 0;  // threads in it
  };

  os::Mutex lock_{rank::kPressureCallbacks};
  std::array<Entry, kMost> entries_ REAM_GUARDED_BY(lock_){};
};

}  // namespace ream
