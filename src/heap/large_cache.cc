#include "heap/large_cache.h"

namespace ream {
namespace {

constexpr bool fits(std::uint64_t have, Pages pages) noexcept {
  return have >= pages.n && have <= pages.n + pages.n / 8;
}

}  // namespace

Span* LargeCache::empty(Shard& shard, Slot& slot) noexcept {
  Span* span = slot.span.exchange(nullptr, std::memory_order_acq_rel);
  if (span == nullptr) return nullptr;
  shard.held.fetch_sub(held_by(*span), std::memory_order_relaxed);
  return span;
}

Span* LargeCache::empty_next(Shard& shard) noexcept {
  for (unsigned i = 0; i < kSlots; ++i) {
    const unsigned slot = shard.next.fetch_add(1, std::memory_order_relaxed) % kSlots;
    if (Span* span = empty(shard, shard.slots[slot])) return span;
  }
  return nullptr;
}

LargeCache::Taken LargeCache::take(unsigned index, Pages pages) noexcept {
  Shard& shard = shards_[index % kShards];
  if (shard.held.load(std::memory_order_relaxed) == 0) return {};
  for (Slot& slot : shard.slots) {
    if (!fits(slot.pages.load(std::memory_order_relaxed), pages)) continue;
    Span* span = empty(shard, slot);
    if (span == nullptr) continue;
    if (!fits(span->pages, pages)) return {.evicted = span};  // another one was put there meanwhile
    shard.hits.fetch_add(1, std::memory_order_relaxed);
    const std::uint32_t more = shard.more.load(std::memory_order_relaxed);
    if (more + 1 < kSlots) shard.more.store(more + 1, std::memory_order_relaxed);
    return {.fitting = span};
  }
  shard.more.store(0, std::memory_order_relaxed);
  return {.evicted = empty_next(shard)};
}

Span* LargeCache::put(unsigned index, Span& span) noexcept {
  if (span.bytes() > kMaxSpanBytes) return &span;
  Shard& shard = shards_[index % kShards];
  const std::uint64_t mine = held_by(span);  // the span may be gone as soon as it is in a slot
  const std::uint64_t held = shard.held.fetch_add(mine, std::memory_order_relaxed) + mine;
  const bool room = held_bytes(held).n <= kMaxShardBytes;
  const std::uint32_t more = shard.more.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i <= more; ++i) {
    Slot& slot = shard.slots[i];
    if (!room || slot.span.load(std::memory_order_relaxed) != nullptr) continue;
    Span* nothing = nullptr;
    slot.pages.store(span.pages, std::memory_order_relaxed);
    if (slot.span.compare_exchange_strong(nothing, &span, std::memory_order_acq_rel))
      return nullptr;
  }
  // No slot or no room. Misses of take() empty slots, so the older ones will not stay for ever.
  shard.held.fetch_sub(mine, std::memory_order_relaxed);
  return &span;
}

// A span that went and came back between two calls counts as one that stayed.
Span* LargeCache::evict_aged(std::uint64_t now_ns, std::uint64_t age_ns, bool& clean) noexcept {
  for (Shard& shard : shards_) {
    if (shard.held.load(std::memory_order_relaxed) == 0) continue;
    for (Slot& slot : shard.slots) {
      Span* const span = slot.span.load(std::memory_order_relaxed);
      if (span != slot.seen) {
        slot.seen = span;
        slot.seen_ns = now_ns;
      }
      if (span == nullptr) continue;
      if (now_ns - slot.seen_ns < age_ns) {
        clean = false;
        continue;
      }
      slot.seen = nullptr;
      if (Span* taken = empty(shard, slot)) return taken;
    }
  }
  return nullptr;
}

Span* LargeCache::evict() noexcept {
  for (Shard& shard : shards_) {
    if (Span* span = empty_next(shard)) return span;
  }
  return nullptr;
}

void LargeCache::after_fork_in_child() noexcept {
  for (Shard& shard : shards_) {
    std::uint64_t held = 0;
    for (const Slot& slot : shard.slots) {
      const Span* span = slot.span.load(std::memory_order_relaxed);
      if (span != nullptr) held += held_by(*span);
    }
    shard.held.store(held, std::memory_order_relaxed);
  }
}

LargeCache::Stats LargeCache::stats() const noexcept {
  Stats sum;
  for (const Shard& shard : shards_) {
    const std::uint64_t held = shard.held.load(std::memory_order_relaxed);
    sum.spans += held_spans(held);
    sum.bytes += held_bytes(held);
    sum.hits += shard.hits.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace ream
