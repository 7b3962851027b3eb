// An array in reserved address space, committed piece by piece as the window is grown.
//
// An element describes 2^log_chunks chunks, so a piece (granule) of the array describes a stretch
// of the window. A growth commits the granules that it touches. It is disjoint from what was grown
// before, so only its first and its last granule can be committed already: exactly if the nearest
// range below or above reaches into them. No record of what is committed is needed.
//
// Thread safety: the owner's lock.
//
// Lifetime: part of a reservation that its owner releases.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/bits.h"
#include "base/root_access.h"
#include "base/units.h"
#include "page/environment.h"

namespace ream::page {

inline constexpr std::uint64_t kCommitBytes = 4096;

// Chunks [lo, hi) to be grown, and their nearest grown neighbours.
struct Growth {
  std::uint64_t lo = 0;
  std::uint64_t hi = 0;
  bool has_below = false;
  bool has_above = false;
  std::uint64_t last_below = 0;   // the highest grown chunk below lo
  std::uint64_t first_above = 0;  // the lowest grown chunk at or above hi
};

template <class T>
class MetaArray {
 public:
  static_assert(is_power_of_two(sizeof(T)) && sizeof(T) <= kCommitBytes,
                "no element straddles granules");

  constexpr MetaArray() noexcept = default;
  constexpr MetaArray(T* data, std::uint64_t count, unsigned log_chunks,
                      std::uint64_t granule_bytes) noexcept
      : data_(data), count_(count), granule_bytes_(granule_bytes), log_chunks_(log_chunks) {}

  // Address space of an array of `count` elements.
  [[nodiscard]] static constexpr Bytes reservation(std::uint64_t count) noexcept {
    return Bytes(round_up(count * sizeof(T), kCommitBytes));
  }

  [[nodiscard]] T& operator[](std::uint64_t i) const noexcept { return data_[i]; }
  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

  // Bytes of the array that a growth touches, rounded to granules; [lo, hi) from its start.
  struct Piece {
    std::uint64_t lo = 0;
    std::uint64_t hi = 0;
  };
  [[nodiscard]] Piece piece(std::uint64_t lo_chunk, std::uint64_t hi_chunk) const noexcept {
    const std::uint64_t limit = round_up(count_ * sizeof(T), kCommitBytes);
    return {granule_of(lo_chunk) * granule_bytes_,
            std::min((granule_of(hi_chunk - 1) + 1) * granule_bytes_, limit)};
  }

  // Commits what is missing for `growth`; adds it to `committed`. False when there is no memory.
  [[nodiscard]] bool cover(const Environment& env, const Growth& growth,
                           Bytes& committed) const noexcept {
    Piece p = piece(growth.lo, growth.hi);
    if (growth.has_below && granule_of(growth.last_below) * granule_bytes_ == p.lo) {
      p.lo += granule_bytes_;
    }
    if (growth.has_above && p.lo < p.hi &&
        granule_of(growth.first_above) == (p.hi - 1) / granule_bytes_) {
      p.hi = round_down(p.hi - 1, granule_bytes_);
    }
    if (p.lo >= p.hi) return true;
    auto* bytes = reinterpret_cast<std::byte*>(data_);
    if (!env.commit(env.context, bytes + p.lo, Bytes(p.hi - p.lo))) return false;
    committed += Bytes(p.hi - p.lo);
    return true;
  }

 private:
  friend struct inspect::RootAccess;

  [[nodiscard]] std::uint64_t granule_of(std::uint64_t chunk) const noexcept {
    return (chunk >> log_chunks_) * sizeof(T) / granule_bytes_;
  }

  T* data_ = nullptr;
  std::uint64_t count_ = 0;
  std::uint64_t granule_bytes_ = 0;  // a power of two
  unsigned log_chunks_ = 0;
};

// Address space taken in one piece and handed out to arrays.
class MetaReservation {
 public:
  [[nodiscard]] bool reserve(const Environment& env, Bytes bytes) noexcept {
    begin_ = static_cast<std::byte*>(env.reserve(env.context, bytes));
    bytes_ = begin_ == nullptr ? Bytes() : bytes;
    used_ = Bytes();
    return begin_ != nullptr;
  }
  void release(const Environment& env) noexcept {
    if (begin_ != nullptr) env.release(env.context, begin_, bytes_);
    begin_ = nullptr;
    bytes_ = used_ = Bytes();
  }
  template <class T>
  [[nodiscard]] MetaArray<T> take(std::uint64_t count, unsigned log_chunks) noexcept {
    T* data = reinterpret_cast<T*>(begin_ + used_.n);
    used_ += MetaArray<T>::reservation(count);
    return MetaArray<T>(data, count, log_chunks, kCommitBytes);
  }
  [[nodiscard]] Bytes bytes() const noexcept { return bytes_; }

 private:
  std::byte* begin_ = nullptr;
  Bytes bytes_{};
  Bytes used_{};
};

}  // namespace ream::page
