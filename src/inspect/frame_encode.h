// Writes a snapshot as a frame (frame.h), in pieces of at most kPieceBytes, without memory of its
// own but for a buffer on the stack.
//
// Thread safety: that of the sink.
#pragma once

#include <cstddef>

#include "inspect/snapshot.h"

namespace ream::inspect {

// Where a frame goes. False when it cannot be written; then nothing more is.
struct FrameSink {
  bool (*write)(void* context, const void* bytes, std::size_t n) noexcept = nullptr;
  void* context = nullptr;
};

inline constexpr std::size_t kPieceBytes = 1024;

// False as soon as the sink says so.
[[nodiscard]] bool encode(const Snapshot& snapshot, const FrameSink& sink) noexcept;

// Length of the frame.
[[nodiscard]] std::size_t encoded_bytes(const Snapshot& snapshot) noexcept;

}  // namespace ream::inspect
