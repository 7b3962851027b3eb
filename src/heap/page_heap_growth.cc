// How the page heap gets address space from the OS.
#include <algorithm>

#include "base/bits.h"
#include "heap/page_environment.h"
#include "heap/page_heap.h"
#include "heap/page_units.h"

namespace ream {
namespace {

// Growth begins here: above what programs map low, far below where the OS maps by itself. Nodes but
// the first begin with a window.
constexpr Addr kFirstAddress{0x00c0'0000'0000};
constexpr Bytes kChunkBytes = 4_MiB;
constexpr Bytes kMaxGrowth = 64_MiB;  // beyond what a request needs
constexpr Bytes kMaxSkipping{std::uint64_t{1} << (page::HeapWindow::kAddressBits - 1)};
constexpr int kGrowthAttempts = 8;  // holes tried before the OS may choose

// Purging works in whole OS pages, and leaves free huge pages whole where they are smaller than
// chunks.
page::ScavengeShape scavenge_shape() noexcept {
  const std::uint64_t os_pages = os::os_page_size().n / kPageBytes;
  const std::uint64_t huge_pages = os::huge_page_size().n / kPageBytes;
  return {.physical_page = static_cast<unsigned>(std::max<std::uint64_t>(os_pages, 1)),
          .huge_page = huge_pages <= page::kChunkPages ? static_cast<unsigned>(huge_pages) : 0};
}

}  // namespace

// Growth in large steps costs address space only, so the step follows the heap's size; what the
// system refuses is asked for again in the smallest step that serves the request.
bool PageHeap::grow(Pages pages, Pages align, unsigned node) noexcept {
  const Growth growth{
      .align = std::max(bytes_of(align), kChunkBytes), .asked = pages, .node = node};
  const Bytes need(round_up(bytes_of(pages).n, kChunkBytes.n));
  const Bytes ahead(round_down(std::min(counts_.grown.n / 8, kMaxGrowth.n), kChunkBytes.n));
  if (huge_pages_.mode() == HugePageMode::kExplicit && grow_from_pool(need, growth)) return true;
  return (ahead > need && grow_by(ahead, growth, Source::kOrdinary)) ||
         grow_by(need, growth, Source::kOrdinary);
}

bool PageHeap::grow_by(Bytes bytes, const Growth& growth, Source source) noexcept {
  Addr after;
  const Addr base = map_somewhere(bytes, growth, source, after);
  if (base == Addr()) return false;
  const bool pooled = source == Source::kPool;
  if ((pooled && !pooled_.cover(base)) || !adopt(base, bytes, growth.node)) {
    os::release(base, bytes);
    return false;
  }
  next_[growth.node] = after;
  if (pooled) {
    pooled_.add(base, bytes);  // its memory is there
  } else {
    nodes_.place(node_of(base), base, bytes);  // before anything of it is touched
    note_growth(base, bytes, growth.asked);
  }
  ++counts_.grows;
  counts_.grown += bytes;
  size_.store(counts_.grown.n, std::memory_order_relaxed);
  publish();
  return true;
}

Addr PageHeap::map_somewhere(Bytes bytes, const Growth& growth, Source source,
                             Addr& after) noexcept {
  const bool pooled = source == Source::kPool;
  Addr& next = next_[growth.node];
  if (next == Addr()) {
    const std::uint64_t window = nodes_.first_window(growth.node);
    next = window == 0 ? kFirstAddress : Addr(window << page::HeapWindow::kAddressBits);
  }
  after = next;
  Addr hint(round_up(next.n, growth.align.n));
  for (int attempt = 0; attempt < kGrowthAttempts && hint != Addr(); ++attempt) {
    hint = past_windows_of_others(hint, growth.node);
    // No growth lies in two windows. One of most of a window is not worth a new one.
    if (window_of(hint) != window_of(hint + bytes - 1_B) && bytes <= kMaxSkipping) {
      hint = past_windows_of_others(Addr(window_of(hint + bytes) << page::HeapWindow::kAddressBits),
                                    growth.node);
    }
    if ((pooled ? os::map_pooled_at(hint, bytes) : os::map_at(hint, bytes)) == hint) {
      after = hint + bytes;
      return hint;
    }
    const Addr hole = os::find_unmapped(bytes, growth.align, hint);
    if (hole == hint) break;  // it is free, and the system still refuses: a limit, not a neighbour
    hint = hole;
  }
  return pooled ? Addr() : os::map_anywhere(bytes, growth.align);
}

bool PageHeap::adopt(Addr base, Bytes bytes, unsigned node) noexcept {
  const std::size_t first = window_of(base);
  if (first >= kWindows || window_of(base + bytes - 1_B) != first) return false;
  if (!ready_[first]) {
    if (windows_[first].init(page_environment(), Addr(first << page::HeapWindow::kAddressBits)) !=
        page::InitResult::kOk) {
      return false;
    }
    windows_[first].set_scavenge_shape(scavenge_shape());
    ready_[first] = true;
    __atomic_store_n(&window_owner_[first], static_cast<std::uint8_t>(node + 1), __ATOMIC_RELAXED);
  }
  if (!map_.cover(base, bytes, map_metadata) ||
      windows_[first].grow(base, bytes) != page::GrowResult::kOk) {
    return false;
  }
  Grown& grown = grown_[first];
  __atomic_store_n(&grown.begin, grown.end == 0 ? base.n : std::min(grown.begin, base.n),
                   __ATOMIC_RELAXED);
  __atomic_store_n(&grown.end, std::max(grown.end, (base + bytes).n), __ATOMIC_RELAXED);
  return true;
}

}  // namespace ream
