// How much resident memory the heap may keep: what the program needed of late. So a program that
// needs its memory again and again keeps it, and one that shrank, or went idle, gives it back.
//
//   allowed = the highest use of the last window, in slots of a fifth of it; and a sixteenth more
//   while
//             the use changes, for free pages that fit no request
//
//   use   |      ____                      the window follows at some distance
//         |  ___|    |_______        _____
//         |_|                |______|          time ->
//
// The window begins at a second and a quarter. Taking memory back that was given costs the program
// a page fault for each OS page. Some of that is borne: kBearableRate, a percent or two of a CPU's
// time. Where more than kBearableDebt adds up beyond it, the window doubles; after a long while
// without it halves again. So a heap that rises and falls every few seconds pays for a few falls,
// not for all.
//
// Thread safety: none; the owner's lock guards it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/root_access.h"
#include "base/units.h"

namespace ream {

class PurgePace {
 public:
  static constexpr unsigned kSlots = 5;
  static constexpr std::uint64_t kMinWindowNs = 1'250'000'000;
  static constexpr std::uint64_t kMaxWindowNs = 64 * kMinWindowNs;
  static constexpr Bytes kBearableRate = 64_MiB;  // a second
  static constexpr Bytes kBearableDebt = 512_MiB;
  static constexpr unsigned kQuietWindows = 8;  // after which the window halves

  // Notes the use at time `now_ns` (monotonic, coarse is enough).
  void note(Bytes in_use, std::uint64_t now_ns) noexcept {
    const std::uint64_t slot_ns = window_ns_ / kSlots;
    if (now_ns - slot_begin_ns_ >= slot_ns) roll(now_ns, slot_ns);
    last_ = in_use;
    peaks_[slot_] = std::max(peaks_[slot_], in_use);
  }

  // The resident memory that free pages and pages in use may take together.
  [[nodiscard]] Bytes allowed() const noexcept {
    const Bytes most = *std::max_element(peaks_.begin(), peaks_.end());
    return is_steady() ? last_ : Bytes(most.n + most.n / 8);
  }

  // The use did not change for a whole window: the program is idle, or makes do with its caches.
  [[nodiscard]] bool is_steady() const noexcept {
    return std::all_of(peaks_.begin(), peaks_.end(),
                       [this](Bytes peak) noexcept { return peak == last_; });
  }

  // So much of what counted as used was not: it lay unused in caches, long enough to be sure.
  void discount(Bytes bytes) noexcept {
    for (Bytes& peak : peaks_) peak = std::max(last_, peak - std::min(peak, bytes));
  }

  // Memory went back to the OS, or was taken from what is there already given back or new.
  void count_given(Bytes bytes) noexcept { given_ += bytes; }
  void count_taken(Bytes bytes) noexcept {
    const Bytes again = std::min(bytes, given_);
    given_ -= again;
    debt_ += again;
    if (debt_ <= kBearableDebt) return;
    debt_ = Bytes();
    quiet_slots_ = 0;
    window_ns_ = std::min(window_ns_ * 2, kMaxWindowNs);
  }

  [[nodiscard]] std::uint64_t window_ns() const noexcept { return window_ns_; }

 private:
  friend struct inspect::RootAccess;

  // Whole slots that went by without a note had the use of the last one.
  void roll(std::uint64_t now_ns, std::uint64_t slot_ns) noexcept {
    const std::uint64_t slots = (now_ns - slot_begin_ns_) / slot_ns;
    for (std::uint64_t i = std::min<std::uint64_t>(slots, kSlots); i > 0; --i) {
      slot_ = (slot_ + 1) % kSlots;
      peaks_[slot_] = last_;
    }
    slot_begin_ns_ += slots * slot_ns;
    given_ -= Bytes(slots >= kForget ? given_.n : given_.n / kForget * slots);
    debt_ -= std::min(debt_, Bytes(borne_in(std::min<std::uint64_t>(slots, kForget) * slot_ns)));
    quiet_slots_ += slots;
    if (quiet_slots_ >= std::uint64_t{kQuietWindows} * kSlots) {
      quiet_slots_ = 0;
      window_ns_ = std::max(window_ns_ / 2, kMinWindowNs);
    }
  }

  [[nodiscard]] static constexpr std::uint64_t borne_in(std::uint64_t ns) noexcept {
    return ns / 1000 * kBearableRate.n / 1'000'000;
  }

  static constexpr std::uint64_t kForget = 8 * kSlots;  // slots after which a giving is forgotten

  std::array<Bytes, kSlots> peaks_{};
  unsigned slot_ = 0;
  Bytes last_{};
  Bytes given_{};  // that may yet be taken again
  Bytes debt_{};   // taken again, beyond what is borne
  std::uint64_t slot_begin_ns_ = 0;
  std::uint64_t window_ns_ = kMinWindowNs;
  std::uint64_t quiet_slots_ = 0;
};

}  // namespace ream
