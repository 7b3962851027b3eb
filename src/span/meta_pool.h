// The metadata pool: memory for spans and thread caches, apart from the memory that programs see.
// Sizes are rounded to 64 bytes; each size has its own free list, so a block is only ever reused
// for a block of the same size (a stale reader of a span finds a span). Nothing goes back to the
// OS.
//
// Thread safety: none; the owner's lock guards it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/root_access.h"
#include "base/units.h"

namespace ream {

class MetaPool {
 public:
  static constexpr std::size_t kUnitBytes = 64;
  static constexpr std::size_t kMaxPooledBytes = 4096;  // the arrays of thread caches

  // Gives zeroed memory that is not resident until touched, or null.
  using MapMetadata = void* (*)(Bytes) noexcept;

  // Memory of at least `bytes`, aligned to 64; its contents are those of its last use, or zeros.
  // Null if there is none. REQUIRES: 0 < bytes <= kMaxPooledBytes.
  [[nodiscard]] void* allocate(std::size_t bytes, MapMetadata map) noexcept;

  // REQUIRES: the block came from allocate with the same `bytes`.
  void free(void* block, std::size_t bytes) noexcept;

  [[nodiscard]] Bytes mapped_bytes() const noexcept { return mapped_; }
  // Of these, handed out at some time: about what is resident.
  [[nodiscard]] Bytes touched_bytes() const noexcept { return mapped_ - Bytes(end_ - begin_); }
  [[nodiscard]] Bytes used_bytes() const noexcept { return used_; }

 private:
  friend struct inspect::RootAccess;

  struct FreeBlock {
    FreeBlock* next;
  };

  std::array<FreeBlock*, kMaxPooledBytes / kUnitBytes + 1> free_{};  // by units
  std::uint64_t begin_ = 0;  // the part of the newest mapping that was never handed out
  std::uint64_t end_ = 0;
  Bytes mapped_{};
  Bytes used_{};
};

}  // namespace ream
