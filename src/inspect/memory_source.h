// Where a reader gets bytes from: its own memory, a process that runs, a core file. Handed in,
// since this layer knows no OS.
//
// Thread safety: that of the function behind it.
// Lifetime: a plain value; `context` must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ream::inspect {

struct MemorySource {
  // Copies [address, address + bytes) to `to`. False if any of it cannot be read; what `to` holds
  // then does not matter.
  using Read = bool (*)(void* context, std::uint64_t address, void* to, std::size_t bytes) noexcept;

  Read read_bytes = nullptr;
  void* context = nullptr;

  [[nodiscard]] bool read(std::uint64_t address, void* to, std::size_t bytes) const noexcept {
    return read_bytes(context, address, to, bytes);
  }
};

// The memory of this process. What it is asked for must be there: for a heap that does not change
// meanwhile (its page heap's lock is held, or no other thread runs).
inline MemorySource own_memory() noexcept {
  return {[](void*, std::uint64_t address, void* to, std::size_t bytes) noexcept {
            std::memcpy(to, reinterpret_cast<const void*>(address), bytes);
            return true;
          },
          nullptr};
}

}  // namespace ream::inspect
