#include "inspect/root.h"

#include "base/config.h"
#include "heap/heap.h"

namespace ream::inspect {
namespace {

constexpr std::uint32_t narrow(std::size_t x) noexcept { return static_cast<std::uint32_t>(x); }

}  // namespace

// A friend of the classes whose fields the root tells about.
struct RootAccess {
  using Window = page::HeapWindow;
  using Alloc = page::PageAlloc<Window>;
  using Table = page::ChunkTable<Window>;
  using Tree = page::SummaryTree<Window>;

  static constexpr std::size_t kPageHeap = offsetof(Heap, page_heap_);
  static constexpr std::size_t kMap = kPageHeap + offsetof(PageHeap, map_);
  static constexpr std::size_t kCounts = kPageHeap + offsetof(PageHeap, counts_);
  static constexpr std::size_t kCaches = offsetof(Heap, caches_);
  static constexpr std::size_t kSummaries =
      offsetof(Tree, packed_) + (Window::kLevels - 1) * sizeof(page::MetaArray<page::Summary>) +
      offsetof(page::MetaArray<page::Summary>, data_);

  static consteval RootV1 root() noexcept {
    RootV1 r{};
    for (std::size_t i = 0; i < sizeof(r.magic); ++i) r.magic[i] = RootV1::kMagic[i];
    r.version = RootV1::kVersion;
    r.bytes = sizeof(RootV1);
    for (std::size_t i = 0; kVersion[i] != '\0' && i + 1 < sizeof(r.library_version); ++i) {
      r.library_version[i] = kVersion[i];
    }
    r.heap = &g_heap;
    r.classes = kSizeClasses.data();

    r.page_shift = kPageShift;
    r.chunk_log_pages = page::kLogChunkPages;
    r.window_log_bytes = Window::kAddressBits;
    r.window_count = PageHeap::kWindows;

    r.heap_windows = narrow(kPageHeap + offsetof(PageHeap, windows_));
    r.window_stride = sizeof(Alloc);
    r.heap_ready = narrow(kPageHeap + offsetof(PageHeap, ready_));
    r.heap_grown = narrow(kPageHeap + offsetof(PageHeap, grown_));

    r.window_base = narrow(offsetof(Alloc, window_) + offsetof(page::Window<Window>, base_));
    r.window_ranges = narrow(offsetof(Alloc, ranges_) + offsetof(page::AddrRanges, ranges_));
    r.window_range_count = narrow(offsetof(Alloc, ranges_) + offsetof(page::AddrRanges, count_));
    r.window_chunk_l1 = narrow(offsetof(Alloc, chunks_) + offsetof(Table, l1_) +
                               offsetof(page::MetaArray<page::Chunk*>, data_));
    r.chunk_l2_log = Window::kChunkL2Bits;
    r.window_summaries = narrow(offsetof(Alloc, tree_) + kSummaries);
    r.summary_log_pages = Window::kLevelLogPages[0];
    r.window_committed = narrow(offsetof(Alloc, committed_));

    r.chunk_stride = sizeof(page::Chunk);
    r.chunk_used = narrow(offsetof(page::Chunk, used));
    r.chunk_backed = narrow(offsetof(page::Chunk, backed));
    r.chunk_leased = narrow(offsetof(page::Chunk, leased));

    r.heap_map_root = narrow(kMap + offsetof(PageMap, root_));
    r.map_root_entries = PageMap::kRootEntries;
    r.map_leaf_log_bytes = PageMap::kLeafShift;
    r.leaf_pages = narrow(offsetof(PageMap::Leaf, page));

    r.span_base = narrow(offsetof(Span, base));
    r.span_pages = narrow(offsetof(Span, pages));
    r.span_object_bytes = narrow(offsetof(Span, object_bytes));
    r.span_objects = narrow(offsetof(Span, objects));
    r.span_class = narrow(offsetof(Span, size_class));
    r.span_shard = narrow(offsetof(Span, shard));
    r.span_used = narrow(offsetof(Span, used));
    r.span_next = narrow(offsetof(Span, next));
    r.span_requested = narrow(offsetof(Span, requested_bytes));
    r.span_states = sizeof(Span);
    r.span_min_bytes = narrow(span_metadata_bytes(1));
    r.state_taken_bit = kTakenBit;
    r.state_live = kLive;

    r.class_count = kClassCount;
    r.class_stride = sizeof(SizeClass);
    r.class_object_bytes = narrow(offsetof(SizeClass, object_bytes));

    r.heap_central = narrow(offsetof(Heap, central_));
    r.max_shards = Heap::kMaxShards;
    r.shard_stride = sizeof(CentralList) * kClassCount;
    r.central_stride = sizeof(CentralList);
    r.central_spans = narrow(offsetof(CentralList, spans_));
    r.central_taken = narrow(offsetof(CentralList, taken_));
    r.central_capacity = narrow(offsetof(CentralList, capacity_));
    r.central_pages = narrow(offsetof(CentralList, pages_));
    r.heap_shards = narrow(kCaches + offsetof(ThreadCaches, shards_));

    r.heap_first_cache = narrow(kCaches + offsetof(ThreadCaches, first_));
    r.heap_cache_count = narrow(kCaches + offsetof(ThreadCaches, count_));
    r.heap_ended_frees = narrow(kCaches + offsetof(ThreadCaches, ended_frees_));
    r.cache_next = narrow(offsetof(ThreadCache, next));
    r.cache_thread = narrow(offsetof(ThreadCache, owner_thread));
    r.cache_bins = narrow(offsetof(ThreadCache, bins));
    r.bin_stride = sizeof(Bin);
    r.bin_top = narrow(offsetof(Bin, top));
    r.bin_base = narrow(offsetof(Bin, base));
    r.bin_frees = narrow(offsetof(Bin, frees));

    r.heap_first_large = narrow(kPageHeap + offsetof(PageHeap, large_));
    r.heap_in_use_pages = narrow(kPageHeap + offsetof(PageHeap, in_use_));
    r.heap_peak_in_use = narrow(kCounts + offsetof(PageHeapStats, peak_in_use));
    r.heap_large_mallocs = narrow(kCounts + offsetof(PageHeapStats, large_mallocs));
    r.heap_large_frees = narrow(kCounts + offsetof(PageHeapStats, large_frees));
    r.heap_purged_bytes = narrow(kCounts + offsetof(PageHeapStats, purged_bytes));
    r.heap_span_pool =
        narrow(kPageHeap + offsetof(PageHeap, span_pool_) + offsetof(MetaPool, mapped_));
    r.heap_cache_pool =
        narrow(kCaches + offsetof(ThreadCaches, pool_) + offsetof(MetaPool, mapped_));
    r.heap_leaf_count = narrow(kMap + offsetof(PageMap, leaf_count_));
    r.leaf_bytes = sizeof(PageMap::Leaf);
    r.window_range_capacity =
        narrow(offsetof(Alloc, ranges_) + offsetof(page::AddrRanges, capacity_));
    r.heap_inside_purged = narrow(offsetof(Heap, sparse_) + offsetof(SparsePurge, purged_));
    r.heap_large_cache = narrow(offsetof(Heap, large_cache_) + offsetof(LargeCache, shards_));
    r.large_cache_stride = sizeof(LargeCache::Shard);
    r.large_cache_shards = LargeCache::kShards;
    r.large_cache_hits = narrow(offsetof(LargeCache::Shard, hits));
    r.heap_transfer_pool = narrow(offsetof(Heap, transfers_) + offsetof(TransferCaches, room_) +
                                  offsetof(TransferRoom, mapped_));
    r.state_live_owned = kLiveOwned;
    r.heap_sub_heap_pool =
        narrow(kPageHeap + offsetof(PageHeap, sub_heap_pool_) + offsetof(MetaPool, mapped_));
    return r;
  }
};

}  // namespace ream::inspect

extern "C" {
[[gnu::used]] constinit const ream::inspect::RootV1 ream_root = ream::inspect::RootAccess::root();
}
