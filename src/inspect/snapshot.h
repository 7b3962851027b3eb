// A snapshot: what is known of a heap at one moment, in a form of bounded size that can be drawn,
// written (frame_encode.h) and read again (frame_decode.h).
//
// The map cuts the heap's address space into groups of 2^map_log_pages pages. It begins with a
// group a page; when the groups do not fit any more, neighbours are joined and the groups double.
// So a small heap is seen page by page and a large one still as a whole.
//
// Of a heap that runs meanwhile, the parts may come from moments that differ a little.
//
// Thread safety: plain data.
//
// Invariants (what collect() gives and decode() accepts):
//  1. Groups ascend in first_page and do not overlap; large <= in_use;
//     in_use + free + scavenged <= 2^map_log_pages.
//  2. Classes ascend. Large objects descend in bytes.
//
// Lifetime: 350 KiB, so not for a stack; of static storage, only what is used becomes resident.
#pragma once

#include <array>
#include <cstdint>

#include "inspect/reader.h"

namespace ream::inspect {

// Bytes where nothing else is said.
struct Counters {
  std::uint64_t pid = 0;
  std::uint64_t page_shift = 0;
  std::uint64_t map_log_pages = 0;
  std::uint64_t live = 0;  // usable bytes of live objects; = small_live + large_live
  std::uint64_t small_live = 0;
  std::uint64_t large_live = 0;
  std::uint64_t cached = 0;         // in thread caches
  std::uint64_t free_in_spans = 0;  // objects of spans that nobody has
  std::uint64_t peak_in_use = 0;    // the most that in_use has been
  std::uint64_t grown = 0;          // address space for objects; = in_use + free + scavenged
  std::uint64_t in_use = 0;         // pages that belong to spans
  std::uint64_t free = 0;           // free pages with memory behind them
  std::uint64_t scavenged = 0;      // free pages given back to the OS
  std::uint64_t metadata = 0;       // address space; resident only where touched
  std::uint64_t mallocs = 0;        // a number, over time
  std::uint64_t frees = 0;          // a number, over time
  std::uint64_t live_objects = 0;   // a number
  std::uint64_t large_objects = 0;  // a number
  std::uint64_t spans = 0;          // a number
  std::uint64_t threads = 0;        // with a cache
  std::uint64_t purged = 0;         // given back to the OS over time
  std::uint64_t torn = 0;           // contradictions met, since the heap changed meanwhile

  friend bool operator==(const Counters&, const Counters&) = default;
};

struct ClassRow {
  std::uint64_t size_class = 0;
  std::uint64_t object_bytes = 0;
  std::uint64_t live = 0;    // objects
  std::uint64_t cached = 0;  // objects
  std::uint64_t free = 0;    // objects
  std::uint64_t spans = 0;
  std::uint64_t span_bytes = 0;
  std::uint64_t mallocs = 0;  // over time
  std::uint64_t frees = 0;    // over time

  friend bool operator==(const ClassRow&, const ClassRow&) = default;
};

// A group of the map. Pages, but for live_bytes. The group's address is first_page << page_shift;
// pages of the group that are in none of the three states were never grown.
struct MapGroup {
  std::uint64_t first_page = 0;
  std::uint32_t in_use = 0;
  std::uint32_t large = 0;  // of those in use, the pages of large objects
  std::uint32_t free = 0;
  std::uint32_t scavenged = 0;
  std::uint64_t live_bytes = 0;

  friend bool operator==(const MapGroup&, const MapGroup&) = default;
};

struct LargeRow {
  std::uint64_t base = 0;
  std::uint64_t bytes = 0;
  std::uint64_t requested_bytes = 0;

  friend bool operator==(const LargeRow&, const LargeRow&) = default;
};

// An array with a length, of which a part is used.
template <class T, std::size_t kCapacity>
struct Rows {
  std::array<T, kCapacity> items{};
  std::size_t count = 0;

  [[nodiscard]] const T* begin() const noexcept { return items.data(); }
  [[nodiscard]] const T* end() const noexcept { return items.data() + count; }
  [[nodiscard]] bool full() const noexcept { return count == kCapacity; }
};

struct Snapshot {
  static constexpr std::size_t kMaxGroups = 8192;
  static constexpr std::size_t kMaxLarge = 32;
  static constexpr std::size_t kVersionBytes = 16;

  std::array<char, kVersionBytes> library_version{};  // text, filled up with zeros
  Counters counters{};
  Rows<ClassRow, kMaxClasses> classes{};
  Rows<MapGroup, kMaxGroups> map{};
  Rows<LargeRow, kMaxLarge> large{};  // the biggest
};

// Fills in `snapshot` from a reader that was opened and has not walked yet. False when the heap's
// counters cannot be read. Cost: a read of 4 KiB a chunk (4 MiB) and one or two small ones a span.
[[nodiscard]] bool collect(Reader& reader, std::uint64_t pid, Snapshot& snapshot) noexcept;

void clear(Snapshot& snapshot) noexcept;

// Adds the pages of `group` at or behind the last group; joins neighbours when there is no room.
// REQUIRES: the pages from first_page on lie in one group of the map, and in no group but the last.
void add_group(Snapshot& snapshot, const MapGroup& group) noexcept;

// Adds a large object to the biggest ones, if it is one of them.
void add_large(Snapshot& snapshot, const LargeRow& row) noexcept;

}  // namespace ream::inspect
