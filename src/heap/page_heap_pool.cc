// Pages of the system's pool of huge pages: taken where the heap grows, and given back as a whole.
//
// What is free in a region of the pool is cleared where other free pages would be given back, since
// it counts as such from then on, and stays: the pool is memory that the system's owner has set
// aside for who asks for it, so keeping it takes nothing from others.
#include <algorithm>
#include <cstring>

#include "base/bits.h"
#include "base/check.h"
#include "heap/page_heap.h"
#include "heap/page_units.h"

namespace ream {
namespace {

constexpr Bytes kRegion = PooledRegions::kRegion;
constexpr unsigned kRegionPages = kRegion.n / kPageBytes;
constexpr unsigned kRegionWords = kRegionPages / page::kWordPages;
constexpr Bytes kChunkBytes = 4_MiB;
constexpr Bytes kMostAhead =
    16_MiB;  // of what a request needs: pages of the pool are taken at once
constexpr unsigned kMostRefusals = 6;  // in a row, that make the pause longer
// Each may leave the process two mappings more, of which it has 65530.
constexpr std::uint32_t kMostGivenBack = 8192;

}  // namespace

bool PageHeap::grow_from_pool(Bytes need, const Growth& growth) noexcept {
  if (pool_pause_ > 0) {
    --pool_pause_;
    return false;
  }
  const Bytes ahead(std::min(round_down(counts_.grown.n / 8, kChunkBytes.n), kMostAhead.n));
  if ((ahead > need && grow_by(ahead, growth, Source::kPool)) ||
      grow_by(need, growth, Source::kPool)) {
    pool_refusals_ = 0;
    return true;
  }
  ++counts_.huge_pages.pool_refused;
  pool_refusals_ = std::min(pool_refusals_ + 1, kMostRefusals);
  pool_pause_ = 1u << pool_refusals_;
  return false;
}

Bytes PageHeap::clear_or_purge(Addr base, Bytes bytes) noexcept {
  const bool any_pooled = pooled_.holds_any(base, bytes);
  const Addr end = base + bytes;
  Bytes given_back{};
  for (Addr at = base, stop = end; at < end; at = stop) {
    stop = any_pooled ? std::min(end, Addr(round_down(at.n, kRegion.n)) + kRegion) : end;
    if (!(any_pooled && pooled_.holds_any(at, stop - at)) && os::purge(at, stop - at)) {
      given_back += stop - at;
    } else {
      // Also what the OS keeps because the program locked it: it would stand in the way of what
      // goes back.
      std::memset(at.ptr(), 0, (stop - at).n);
    }
  }
  return given_back;
}

bool PageHeap::is_free_of_pool(const WindowAlloc& window, Addr region) const noexcept {
  if (!pooled_.holds_any(region, kRegion)) return false;
  const page::PageIndex first = window.window().page_of(region);
  const page::Chunk* const chunk = window.try_chunk_of(first.chunk());
  if (chunk == nullptr) return false;
  const unsigned word = first.in_chunk() / page::kWordPages;
  return std::all_of(chunk->used.begin() + word, chunk->used.begin() + word + kRegionWords,
                     [](std::uint64_t used) noexcept { return used == 0; });
}

Bytes PageHeap::give_back_to_pool(WindowAlloc& window, Addr base, Bytes bytes) noexcept {
  const Addr end = base + bytes;
  Bytes given_back{};
  for (Addr at = base; at < end;) {
    Addr stop = at;
    while (stop < end && is_free_of_pool(window, stop)) stop = stop + kRegion;
    if (stop == at) {
      at = at + kRegion;
      continue;
    }
    if (pool_given_back_ >= kMostGivenBack || !os::renew(at, stop - at)) break;
    nodes_.place(node_of(at), at, stop - at);
    ++pool_given_back_;
    pooled_.remove(at, stop - at);
    REAM_CHECK(window.mark_scavenged(at, Pages((stop - at).n / kPageBytes)));
    given_back += stop - at;
    at = stop;
  }
  return given_back;
}

Bytes PageHeap::give_back_to_pool() noexcept {
  if (pooled_.count() == 0) return {};
  os::MutexLock hold(lock_);
  Bytes given_back{};
  for (std::size_t w = 0; w < kWindows; ++w) {
    if (!ready_[w]) continue;
    windows_[w].for_each_grown([&](Addr base, Bytes bytes) REAM_NO_THREAD_SAFETY_ANALYSIS noexcept {
      given_back += give_back_to_pool(windows_[w], base, bytes);
    });
  }
  counts_.purged_bytes += given_back.n;
  publish();
  return given_back;
}

}  // namespace ream
