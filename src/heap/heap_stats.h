// Counters of the heap. Sums are taken from the places that own the parts, so they cost the fast
// paths one addition a free; a sum taken while other threads run may be a moment old in its parts.
//
// Identities (tested when no other thread runs):
//   nmalloc = nfree + live objects
//   size    = small_live + large_live
//   grown   = in_use + free;  scavenged <= free;  inside_purged <= in_use
//   grown and in_use are the sums of those of the nodes
//   resident agrees with the kernel's figure within 1 % (tests/abi/resident_test.cc)
#pragma once

#include <array>
#include <cstdint>

#include "base/units.h"
#include "heap/huge_page_mode.h"
#include "heap/nodes.h"

namespace ream {

struct ClassStats {
  std::uint64_t object_bytes = 0;
  std::uint64_t live = 0;    // objects the program has
  std::uint64_t cached = 0;  // in thread caches
  std::uint64_t free = 0;    // free in spans
  std::uint64_t spans = 0;
  std::uint64_t span_bytes = 0;
  Bytes purged{};             // of span_bytes, without memory behind them
  std::uint64_t nmalloc = 0;  // in total, over time
  std::uint64_t nfree = 0;
};

struct HeapStats {
  Bytes size{};  // usable bytes of live objects
  Bytes small_live{};
  Bytes large_live{};
  Bytes cached{};     // in thread caches
  Bytes max{};        // highest in_use so far
  Bytes in_use{};     // pages that belong to spans
  Bytes free{};       // pages that do not
  Bytes scavenged{};  // of these, given back to the OS
  Bytes grown{};      // address space for objects
  Bytes metadata{};   // address space for all else; resident only where touched
  // Of in_use, without memory behind it: inside spans of small objects, given back or never used.
  Bytes inside_purged{};
  Bytes metadata_touched{};  // of metadata, about what is resident
  std::uint64_t nmalloc = 0;
  std::uint64_t nfree = 0;
  std::uint64_t live_objects = 0;
  std::uint64_t large_objects = 0;
  std::uint64_t threads = 0;       // with a cache
  std::uint64_t purged_bytes = 0;  // given back to the OS over time
  std::uint64_t pressures = 0;  // times that memory was short and the heap gave back all it could
  HugePageStats huge_pages;
  unsigned node_count = 0;
  std::array<NodeStats, Nodes::kMost> nodes{};
  std::uint64_t placements_refused = 0;  // ranges whose node the kernel would not hear of

  // What the heap holds of the machine's memory if the program has written to all that it asked
  // for.
  [[nodiscard]] Bytes resident() const noexcept {
    return in_use - inside_purged + free - scavenged + metadata_touched;
  }
};

}  // namespace ream
