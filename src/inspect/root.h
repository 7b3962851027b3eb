// The root: one exported data object, `ream_root`, from which a reader in another process finds
// every page, span and counter of the heap. It names places by numbers only (an address, and
// offsets from there), so a reader built with one version of ream reads a process that runs
// another, as long as the root's version is the same.
//
//   ream_root -> heap -+- windows[16] -> grown ranges, chunk table -> chunk: used, backed bits
//                      +- page map root[2^18] -> leaf: page -> span -> a state byte an object
//                      +- central lists, thread caches, counters
//
// Compatibility: fields are never moved or given another meaning within a version. New fields go to
// the end, and `bytes` grows; a reader uses a field only if `bytes` covers it.
//
// Thread safety: constant. What it leads to changes at any time (reader.h copes with that).
//
// Lifetime: constant-initialised in read-only memory, trivially destructible.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ream::inspect {

struct RootV1 {
  static constexpr char kMagic[8] = {'R', 'E', 'A', 'M', 'R', 'O', 'O', 'T'};
  static constexpr std::uint32_t kVersion = 1;
  static constexpr std::uint32_t kFirstBytes = 352;  // of the first root of this version

  char magic[8];
  std::uint32_t version;
  std::uint32_t bytes;       // of this root
  char library_version[16];  // text, filled up with zeros

  const void* heap;     // fields that begin with heap_ are offsets from here
  const void* classes;  // the size classes: class_count of class_stride bytes

  // Geometry. A window is 2^window_log_bytes of address space, a chunk 2^chunk_log_pages pages.
  std::uint32_t page_shift;
  std::uint32_t chunk_log_pages;
  std::uint32_t window_log_bytes;
  std::uint32_t window_count;

  // Windows: window_count page allocators; a byte each that is 1 when it is in use; and 16 bytes
  // each {lowest address grown, one past the highest}.
  std::uint32_t heap_windows;
  std::uint32_t window_stride;
  std::uint32_t heap_ready;
  std::uint32_t heap_grown;

  // In a window: its base; a pointer to its grown ranges ({base, limit}, from the window's base)
  // and their number; a pointer to the first level of the chunk table: pointers to second levels of
  // 2^chunk_l2_log chunks; a pointer to the summaries of the tree's root, each of which covers
  // 2^summary_log_pages pages.
  std::uint32_t window_base;
  std::uint32_t window_ranges;
  std::uint32_t window_range_count;
  std::uint32_t window_chunk_l1;
  std::uint32_t chunk_l2_log;
  std::uint32_t window_summaries;
  std::uint32_t summary_log_pages;
  std::uint32_t window_committed;  // bytes of metadata

  // In a chunk: one bit a page, page i in bit i % 64 of word i / 64. A page is in use (used), free
  // (backed and not used), or scavenged (neither). A leased chunk's bits may be a moment old.
  std::uint32_t chunk_stride;
  std::uint32_t chunk_used;
  std::uint32_t chunk_backed;
  std::uint32_t chunk_leased;

  // Page map: map_root_entries pointers to leaves, an entry 2^map_leaf_log_bytes of address space.
  // In a leaf, a pointer to the span a page; a large span is there for its first page only.
  std::uint32_t heap_map_root;
  std::uint32_t map_root_entries;
  std::uint32_t map_leaf_log_bytes;
  std::uint32_t leaf_pages;

  // Spans. An object's state has state_taken_bit when it is not free, and is state_live or (at the
  // end of this struct) state_live_owned when the program has it; between the two it is in a thread
  // cache.
  std::uint32_t span_base;          // u64
  std::uint32_t span_pages;         // u32
  std::uint32_t span_object_bytes;  // u32
  std::uint32_t span_objects;       // u16
  std::uint32_t span_class;         // u8; 0: a large object
  std::uint32_t span_shard;         // u8
  std::uint32_t span_used;          // u16
  std::uint32_t span_next;          // pointer
  std::uint32_t span_requested;     // u64, large objects
  std::uint32_t span_states;        // u8 an object
  std::uint32_t span_min_bytes;     // every span has that much memory
  std::uint32_t state_taken_bit;
  std::uint32_t state_live;

  // Size classes. In each, object_bytes (u32) at class_object_bytes.
  std::uint32_t class_count;
  std::uint32_t class_stride;
  std::uint32_t class_object_bytes;

  // Central lists: [shard][class]; heap_shards holds how many shards are in use (u32).
  std::uint32_t heap_central;
  std::uint32_t max_shards;
  std::uint32_t shard_stride;
  std::uint32_t central_stride;
  std::uint32_t central_spans;     // u64
  std::uint32_t central_taken;     // u64: objects not free
  std::uint32_t central_capacity;  // u64: objects
  std::uint32_t central_pages;     // u64
  std::uint32_t heap_shards;

  // Thread caches: a list; in each, class_count bins; and frees by threads that ended (u64 a
  // class).
  std::uint32_t heap_first_cache;  // pointer
  std::uint32_t heap_cache_count;  // u64
  std::uint32_t heap_ended_frees;
  std::uint32_t cache_next;    // pointer
  std::uint32_t cache_thread;  // u32, as the kernel numbers threads
  std::uint32_t cache_bins;
  std::uint32_t bin_stride;
  std::uint32_t bin_top;    // pointer
  std::uint32_t bin_base;   // pointer
  std::uint32_t bin_frees;  // u64

  // Large objects, but those of sub-heaps: a list of spans. Counters, all u64.
  std::uint32_t heap_first_large;  // pointer
  std::uint32_t heap_in_use_pages;
  std::uint32_t heap_peak_in_use;  // bytes
  std::uint32_t heap_large_mallocs;
  std::uint32_t heap_large_frees;
  std::uint32_t heap_purged_bytes;
  std::uint32_t heap_span_pool;  // bytes of metadata
  std::uint32_t heap_cache_pool;
  std::uint32_t heap_leaf_count;
  std::uint32_t leaf_bytes;
  std::uint32_t window_range_capacity;  // in a window, u64: its ranges have memory for so many
  std::uint32_t heap_inside_purged;     // u64, bytes given back inside spans, over time
  std::uint32_t heap_large_cache;       // large_cache_shards caches of large spans
  std::uint32_t large_cache_stride;
  std::uint32_t large_cache_shards;
  std::uint32_t large_cache_hits;    // u64, requests served from it, over time
  std::uint32_t heap_transfer_pool;  // u64, bytes of metadata; 0: that library has none
  std::uint32_t state_live_owned;    // live, in a sub-heap; 0 where there are none
  std::uint32_t heap_sub_heap_pool;  // bytes of metadata
};

// The format cannot drift by itself: these are what a reader of version 1 knows.
static_assert(sizeof(void*) == 8);
static_assert(offsetof(RootV1, version) == 8 && offsetof(RootV1, bytes) == 12);
static_assert(offsetof(RootV1, library_version) == 16);
static_assert(offsetof(RootV1, heap) == 32 && offsetof(RootV1, classes) == 40);
static_assert(offsetof(RootV1, page_shift) == 48);
static_assert(offsetof(RootV1, heap_windows) == 64);
static_assert(offsetof(RootV1, window_base) == 80);
static_assert(offsetof(RootV1, chunk_stride) == 112);
static_assert(offsetof(RootV1, heap_map_root) == 128);
static_assert(offsetof(RootV1, span_base) == 144);
static_assert(offsetof(RootV1, class_count) == 196);
static_assert(offsetof(RootV1, heap_central) == 208);
static_assert(offsetof(RootV1, heap_first_cache) == 244);
static_assert(offsetof(RootV1, heap_first_large) == 284);
static_assert(offsetof(RootV1, window_range_capacity) == 324);
static_assert(offsetof(RootV1, large_cache_hits) == 344 &&
              offsetof(RootV1, heap_transfer_pool) == 348 &&
              offsetof(RootV1, state_live_owned) == 352);
static_assert(offsetof(RootV1, heap_sub_heap_pool) == 356 && sizeof(RootV1) == 360);

}  // namespace ream::inspect

extern "C" {
// Of the process that this code runs in.
[[gnu::visibility("default")]] extern const ream::inspect::RootV1 ream_root;
}
