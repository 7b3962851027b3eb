// Reads a frame (frame.h) back into a snapshot. Whatever the bytes are, the result is a snapshot
// that keeps its invariants, or an error that says what is wrong and where.
//
// Thread safety: plain functions.
#pragma once

#include <cstddef>

#include "inspect/snapshot.h"

namespace ream::inspect {

struct DecodeError {
  const char* what = nullptr;  // null: none
  std::size_t offset = 0;      // of the byte, or of the beginning of the record, that is wrong

  explicit operator bool() const noexcept { return what != nullptr; }
};

// On an error, what `snapshot` holds does not matter.
[[nodiscard]] DecodeError decode(const void* bytes, std::size_t n, Snapshot& snapshot) noexcept;

}  // namespace ream::inspect
