// A lease takes a whole chunk out of the tree, for one thread to allocate from without the lock.
//
//   owner's lock:  lease_chunk()                    end_lease()      settle()
//   lessee:               alloc free collect ... park()
//   anyone:          free_remote() ...       take_rich()      free_remote() ...
//
// To the tree a leased chunk is full. The lessee changes its bits alone. Others who free pages do
// not touch these bits, whether the chunk is leased or not: they set theirs in `returned`. Of a
// leased chunk the lessee empties that (collect), and so does the end of the lease. Of others the
// allocator does (settle), when its owner next holds the lock: the freer puts the chunk on its list
// of sent ones, unless it is on one already.
//
// A lessee need not end a lease when it has taken what there was: it parks the chunk, without the
// lock. A parked chunk is still full to the tree, and nobody's: who wins `leased` from kParked to
// kLeased has it, be it a thread that found it rich, or the allocator, which settles it by ending
// that lease. So a thread goes round among chunks, many more than it leases at a time, and neither
// lock nor tree learns of it.
//
//   kUnleased --lease_chunk--> kLeased --park--> kParked
//             <--end_lease----         <--take--          take_rich() or settle()
//
// Why nothing is lost when a free races with the end of a lease: the freer sets its bits and *then*
// looks at `leased`; the end of the lease clears `leased` and *then* empties `returned`. All four
// are sequentially consistent, so either the freer sees that the lease is over, and sends the
// chunk, or its bits were set in time. A lease that began again in between changes nothing: its
// lessee empties the same bits. And with settle(): the freer sets its bits and *then* `sent`;
// settle clears `sent` and *then* empties `returned`. Either the freer finds `sent` clear, and puts
// the chunk on the list anew, or its bits were set in time. A parked chunk is on a list too: park()
// sets `leased` and *then* looks at `sent`; settle clears `sent` and *then* looks at `leased`, so
// it finds the chunk parked, or park() sends it anew. docs/page-leases.md has the model that was
// checked.
//
// That a chunk is rich is a hint (`spare`), which a race may lose; a rich chunk is sent all the
// same.
//
// Thread safety: a lease belongs to one thread. Freers, page_state() and the lessee meet in
// atomics.
//
// Invariants: 1. bits of `used` are cleared only by the lessee. 2. free_ = pages free for the
// lessee.
// 3. No run of fails_from_ or more of them exists.
//
// Lifetime: give it to PageAlloc::end_lease() or park() before dropping it; the chunk stays taken
// otherwise.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/bits.h"
#include "base/units.h"
#include "page/chunk.h"
#include "page/chunk_find.h"
#include "page/chunk_summary.h"
#include "page/geometry.h"
#include "page/kernels.h"
#include "page/page_cache.h"
#include "page/summary.h"
#include "page/window.h"

namespace ream::page {

// What a thread has freed or parked outside its leases: chunks that someone must settle, and those
// among them that it found rich, which it can lease again, so that chunks stay with the threads
// whose pages they hold. A rich chunk is sent too.
//
// Thread safety: pushed to by its thread, without the lock; sent ones are taken from under it, by
// anyone. The rich ones are the thread's alone.
struct SentChunks {
  // A chunk is rich that would have so many pages free if it were settled, less what is in the tree
  // already. What is not rich waits; more would leave more pages unused, fewer would have threads
  // change chunks more often.
  static constexpr unsigned kRichPages = 96;

  std::uint64_t head = 0;        // newest first: chunk index + 1, or 0; atomic
  std::uint64_t taken = 0;       // taken off, not yet looked at; under the lock
  std::uint64_t rich = 0;        // newest first, as head
  std::uint64_t unparked = 0;    // rich ones that were found not to be parked
  std::uint32_t rich_count = 0;  // on both

  // A hint, without the lock.
  [[nodiscard]] bool empty() const noexcept {
    return __atomic_load_n(&head, __ATOMIC_RELAXED) == 0;
  }
};

template <class G>
class ChunkLease {
 public:
  constexpr ChunkLease() noexcept = default;
  // For PageAlloc. REQUIRES: the chunk has just been leased, with so many pages free.
  ChunkLease(Chunk& chunk, Addr base, Pages free) noexcept
      : chunk_(&chunk), base_(base), free_(static_cast<std::uint32_t>(free.n)) {}

  [[nodiscard]] explicit operator bool() const noexcept { return chunk_ != nullptr; }
  [[nodiscard]] Addr base() const noexcept { return base_; }
  [[nodiscard]] Chunk& chunk() const noexcept { return *chunk_; }
  [[nodiscard]] Pages free_pages() const noexcept { return Pages(free_); }
  [[nodiscard]] bool contains(Addr a) const noexcept { return a.n - base_.n < G::kChunkBytes; }

  // Whether alloc(n) would succeed.
  [[nodiscard]] bool fits(Pages n) const noexcept {
    return n.n - 1 < fails_from_ - 1 &&
           find_run(chunk_->used, static_cast<unsigned>(n.n), 0) != kNoPage;
  }

  // The lowest run of n pages, n at most 512. Not ok: collect(), or take another lease.
  [[nodiscard]] Allocation alloc(Pages n) noexcept {
    if (n.n - 1 >= fails_from_ - 1) return {};
    const auto pages = static_cast<unsigned>(n.n);
    const unsigned i = find_run(chunk_->used, pages, 0);
    if (i == kNoPage) {
      fails_from_ = pages;
      return {};
    }
    unsigned scavenged = 0;
    for_each_word(i, pages, [&](unsigned w, std::uint64_t mask) noexcept {
      store(chunk_->used[w], chunk_->used[w] | mask);
      const std::uint64_t missing = mask & ~chunk_->backed[w];
      if (missing == 0) return;
      scavenged += count_bits(missing);
      store(chunk_->backed[w], chunk_->backed[w] | missing);
    });
    free_ -= pages;
    closed_ = false;
    return {base_ + Bytes(std::uint64_t{i} << G::kPageShift),
            Bytes(std::uint64_t{scavenged} << G::kPageShift), true};
  }

  // The lessee's own free, of pages in this chunk. False, and unchanged, unless all are in use.
  [[nodiscard]] bool free(Addr base, Pages n) noexcept {
    const std::uint64_t offset = base.n - base_.n;
    if (offset >= G::kChunkBytes || !is_aligned(offset, G::kPageBytes)) return false;
    const auto i = static_cast<unsigned>(offset >> G::kPageShift);
    if (n.n - 1 >= kChunkPages - i) return false;
    const auto pages = static_cast<unsigned>(n.n);
    if (!all_set(chunk_->used, i, pages)) return false;
    for_each_word(i, pages, [&](unsigned w, std::uint64_t mask) noexcept {
      store(chunk_->used[w], chunk_->used[w] & ~mask);
    });
    // Only the run that these pages joined is new.
    const unsigned run =
        pages + clear_below(chunk_->used, i) + clear_above(chunk_->used, i + pages);
    note_free(pages, std::max(fails_from_, run + 1));
    return true;
  }

  // Works out what the end of the lease needs to know, so that it need not be done under the lock.
  // Whatever changes the chunk undoes it.
  void close() noexcept {
    if (closed_) return;
    (void)collect();
    summary_ = summarize(chunk_->used);
    backed_ = kernels().popcount_range(chunk_->backed, 0, kChunkPages);
    closed_ = true;
  }
  // REQUIRES: close() was the last call.
  [[nodiscard]] Summary summary() const noexcept { return summary_; }
  [[nodiscard]] unsigned backed_pages() const noexcept { return backed_; }

  // Frees what others have returned. How many pages that were; such as are not in use are dropped.
  Pages collect() noexcept {
    unsigned pages = 0;
    for (unsigned w = 0; w < kChunkWords; ++w) {
      const std::uint64_t back = chunk_->take_returned(w) & chunk_->used[w];
      if (back == 0) continue;
      store(chunk_->used[w], chunk_->used[w] & ~back);
      pages += count_bits(back);
    }
    if (pages > 0) note_free(pages, kNothingFails);
    return Pages(pages);
  }

 private:
  // Others read these words at any time, so they are written atomically; no order is needed.
  static void store(std::uint64_t& word, std::uint64_t value) noexcept {
    std::atomic_ref<std::uint64_t>(word).store(value, std::memory_order_relaxed);
  }

  void note_free(unsigned pages, std::uint32_t fails_from) noexcept {
    free_ += pages;
    fails_from_ = fails_from;
    closed_ = false;
  }

  static constexpr std::uint32_t kNothingFails = kChunkPages + 1;

  Chunk* chunk_ = nullptr;
  Addr base_{};
  std::uint32_t free_ = 0;
  std::uint32_t fails_from_ = kNothingFails;
  Summary summary_{};
  std::uint32_t backed_ = 0;
  bool closed_ = false;
};

}  // namespace ream::page
