// What the page heap and the central lists know of a sub-heap (sub_heap.h): what pays for its
// spans, and the list of its large ones.
//
// Thread safety: the budget's own; the rest belongs to the page heap's lock.
//
// Invariant: budget.used() = bytes of all spans that are owned, but for moments in which a span is
// made, freed or resized, when it may be more.
#pragma once

#include "heap/budget.h"
#include "span/span.h"

namespace ream {

struct SpanOwner {
  Budget budget{};
  Span* large = nullptr;  // its large spans, newest first
  Bytes large_bytes{};    // of these
};

// Null for a span of no sub-heap.
[[nodiscard]] inline SpanOwner* owner_of(const Span& span) noexcept {
  return span.is_owned() ? static_cast<SpanOwner*>(span.owner()) : nullptr;
}

}  // namespace ream
