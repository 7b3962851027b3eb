#include "heap/pooled_regions.h"

#include "base/bits.h"
#include "base/check.h"
#include "heap/page_units.h"

namespace ream {

bool PooledRegions::cover(Addr address) noexcept {
  std::atomic<Word*>& table = tables_[address.n >> kWindowLog];
  if (table.load(std::memory_order_relaxed) != nullptr) return true;
  constexpr Bytes kTableBytes{std::uint64_t{1} << (kWindowLog - HugeRegions::kLogBytes - 3)};
  void* const made = map_metadata(kTableBytes);
  table.store(static_cast<Word*>(made), std::memory_order_release);
  return made != nullptr;
}

void PooledRegions::flip(Addr base, Bytes bytes) noexcept {
  REAM_CHECK(is_aligned(base.n | bytes.n, kRegion.n));
  Word* const table = tables_[base.n >> kWindowLog].load(std::memory_order_relaxed);
  HugeRegions::for_each(base, bytes, [table](Addr a) noexcept {
    const std::size_t i = index_of(a);
    Word& word = table[i >> kWordLog];
    word.store(word.load(std::memory_order_relaxed) ^ std::uint64_t{1} << (i & 63),
               std::memory_order_relaxed);
  });
}

void PooledRegions::add(Addr base, Bytes bytes) noexcept {
  REAM_ASSERT(!holds_any(base, bytes));
  flip(base, bytes);
  count_.fetch_add(bytes.n / kRegion.n, std::memory_order_relaxed);
}

void PooledRegions::remove(Addr base, Bytes bytes) noexcept {
  flip(base, bytes);
  REAM_ASSERT(!holds_any(base, bytes));
  count_.fetch_sub(bytes.n / kRegion.n, std::memory_order_relaxed);
}

bool PooledRegions::find(Addr base, Bytes bytes) const noexcept {
  bool found = false;
  HugeRegions::for_each(base, bytes, [this, &found](Addr a) noexcept {
    const Word* const table = tables_[a.n >> kWindowLog].load(std::memory_order_acquire);
    if (table == nullptr) return;
    const std::size_t i = index_of(a);
    found |= (table[i >> kWordLog].load(std::memory_order_relaxed) >> (i & 63) & 1) != 0;
  });
  return found;
}

}  // namespace ream
