#include "span/page_map.h"

#include "base/bits.h"
#include "base/check.h"

namespace ream {
namespace {

constexpr std::uint64_t kLeafBytes = std::uint64_t{1} << PageMap::kLeafShift;
constexpr std::uint64_t kChunkBytes = std::uint64_t{1} << PageMap::kChunkShift;

}  // namespace

bool PageMap::cover(Addr base, Bytes bytes, MapMetadata map) noexcept {
  for (std::uint64_t a = round_down(base.n, kLeafBytes); a < base.n + bytes.n; a += kLeafBytes) {
    const std::uint64_t slot = a >> kLeafShift;
    if (slot >= kRootEntries) return false;
    if (root_[slot] != nullptr) continue;
    auto* leaf = static_cast<Leaf*>(map(Bytes(sizeof(Leaf))));
    if (leaf == nullptr) return false;
    ++leaf_count_;
    __atomic_store_n(&root_[slot], leaf, __ATOMIC_RELEASE);
  }
  return true;
}

void PageMap::set_page(std::uint64_t address, Span* span) noexcept {
  Leaf* leaf = root_[address >> kLeafShift];
  __atomic_store_n(&leaf->page[(address >> kPageShift) & (kLeafPages - 1)], span, __ATOMIC_RELEASE);
}

void PageMap::set_chunks(std::uint64_t begin, std::uint64_t end, Span* span) noexcept {
  for (std::uint64_t a = round_up(begin, kChunkBytes); a < end; a += kChunkBytes) {
    Leaf* leaf = root_[a >> kLeafShift];
    __atomic_store_n(&leaf->chunk[(a >> kChunkShift) & (kLeafChunks - 1)], span, __ATOMIC_RELEASE);
  }
}

void PageMap::enter(Span& span) noexcept {
  if (span.is_large()) {
    set_page(span.base, &span);
    set_chunks(span.base, span.base + span.bytes(), &span);
    return;
  }
  for (std::uint32_t i = 0; i < span.pages; ++i) set_page(span.base + i * kPageBytes, &span);
}

void PageMap::remove(const Span& span) noexcept {
  if (span.is_large()) {
    set_page(span.base, nullptr);
    set_chunks(span.base, span.base + span.bytes(), nullptr);
    return;
  }
  for (std::uint32_t i = 0; i < span.pages; ++i) set_page(span.base + i * kPageBytes, nullptr);
}

void PageMap::resize(Span& span, Pages before) noexcept {
  REAM_ASSERT(span.is_large());
  const std::uint64_t old_end = span.base + (before.n << kPageShift);
  const std::uint64_t new_end = span.base + span.bytes();
  if (new_end > old_end)
    set_chunks(old_end, new_end, &span);
  else
    set_chunks(new_end, old_end, nullptr);
}

Span* PageMap::span_of(Addr address) const noexcept {
  const std::uint64_t slot = address.n >> kLeafShift;
  if (slot >= kRootEntries) return nullptr;
  const Leaf* leaf = __atomic_load_n(&root_[slot], __ATOMIC_ACQUIRE);
  if (leaf == nullptr) return nullptr;

  // The nearest entry at or below the page within its chunk decides; else what covers the chunk.
  const std::uint64_t page = (address.n >> kPageShift) & (kLeafPages - 1);
  const std::uint64_t chunk = (address.n >> kChunkShift) & (kLeafChunks - 1);
  const std::uint64_t first = chunk << (kChunkShift - kPageShift);
  for (std::uint64_t i = page + 1; i-- > first;) {
    Span* span = __atomic_load_n(&leaf->page[i], __ATOMIC_ACQUIRE);
    if (span == nullptr) continue;
    return span->contains(address.n) ? span : nullptr;
  }
  Span* span = __atomic_load_n(&leaf->chunk[chunk], __ATOMIC_ACQUIRE);
  return span != nullptr && span->contains(address.n) ? span : nullptr;
}

}  // namespace ream
