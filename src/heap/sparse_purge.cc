#include "heap/sparse_purge.h"

#include <algorithm>

#include "heap/heap.h"

namespace ream {

void SparsePurge::step(Heap& heap) noexcept {
  if (busy_.exchange(true, std::memory_order_acquire)) return;
  const std::uint64_t wanted = heap.page_heap().take_fresh_span_bytes();
  const std::uint32_t lists = heap.caches().shards() * static_cast<std::uint32_t>(kClassCount);
  std::uint32_t spans = kSpansPerStep;
  Bytes purged{};
  for (std::uint32_t i = 0; i < lists && spans > 0 && purged.n < wanted; ++i) {
    const std::uint32_t list = next_list_++ % lists;
    const auto c = static_cast<ClassIndex>(list % kClassCount);
    purged += heap.central(c, list / static_cast<std::uint32_t>(kClassCount)).purge_sparse(spans);
  }
  purged_.fetch_add(purged.n, std::memory_order_relaxed);
  const std::uint64_t step = step_.load(std::memory_order_relaxed);
  const bool worth_it = purged.n >= wanted / 4;
  step_.store(worth_it ? kStepBytes : std::min(step * 2, kMaxStepBytes), std::memory_order_relaxed);
  busy_.store(false, std::memory_order_release);
}

Bytes SparsePurge::all(Heap& heap) noexcept {
  Bytes purged{};
  for (unsigned s = 0; s < heap.caches().shards(); ++s) {
    for (std::size_t c = 1; c < kClassCount; ++c) {
      std::uint32_t spans = ~std::uint32_t{0};
      purged += heap.central(static_cast<ClassIndex>(c), s).purge_sparse(spans);
    }
  }
  purged_.fetch_add(purged.n, std::memory_order_relaxed);
  return purged;
}

}  // namespace ream
