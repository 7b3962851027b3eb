// What a trace's hashes and dumps are made of: the grown chunks of a heap and the entries of its
// tree that cover them (tests/oracle/FORMAT.md, section 3).
//
// Thread safety: reads only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/units.h"
#include "page/page_alloc.h"

namespace ream::replay {

constexpr std::uint64_t mix(std::uint64_t h, std::uint64_t w) noexcept {
  h = (h ^ w) * 0x9E3779B97F4A7C15;
  return h ^ h >> 29;
}
inline constexpr std::uint64_t kHashStart = 0xcbf29ce484222325;

// Calls visit(ChunkIndex) for all grown chunks, ascending.
template <class G, class Visit>
void for_each_chunk(const page::PageAlloc<G>& heap, Visit visit) {
  heap.for_each_grown([&](Addr base, Bytes bytes) {
    const page::ChunkIndex first = heap.window().chunk_index(base);
    const std::uint64_t count = bytes.n >> G::kLogChunkBytes;
    for (std::uint64_t c = first.n; c < first.n + count; ++c) visit(page::ChunkIndex{c});
  });
}

// Calls visit(number of the entry) for all entries of a level that cover a grown chunk, ascending,
// once each.
template <class G, class Visit>
void for_each_entry(const page::PageAlloc<G>& heap, unsigned level, Visit visit) {
  const unsigned shift = G::level_shift(level) - G::kLogChunkBytes;
  std::uint64_t next = 0;  // not visited yet
  heap.for_each_grown([&](Addr base, Bytes bytes) {
    const std::uint64_t first = heap.window().chunk_index(base).n;
    const std::uint64_t last = first + (bytes.n >> G::kLogChunkBytes) - 1;
    for (std::uint64_t i = std::max(next, first >> shift); i <= last >> shift; ++i) visit(i);
    next = (last >> shift) + 1;
  });
}

struct StateHash {
  std::uint64_t used = kHashStart;
  std::uint64_t scavenged = kHashStart;
  std::uint64_t leaves = kHashStart;
  std::uint64_t tree = kHashStart;
};

template <class G>
StateHash hash_state(const page::PageAlloc<G>& heap) {
  StateHash hash;
  for_each_chunk(heap, [&](page::ChunkIndex c) {
    const page::Chunk& chunk = heap.chunk_of(c);
    for (unsigned w = 0; w < page::kChunkWords; ++w) {
      hash.used = mix(hash.used, chunk.used[w]);
      hash.scavenged = mix(hash.scavenged, chunk.scavenged_word(w));
    }
  });
  constexpr unsigned kLeaves = G::kLevels - 1;
  for_each_entry(heap, kLeaves, [&](std::uint64_t i) {
    hash.leaves = mix(hash.leaves, heap.summary(kLeaves, i).bits());
  });
  for (unsigned level = kLeaves; level-- > 0;) {
    for_each_entry(heap, level, [&](std::uint64_t i) {
      hash.tree = mix(hash.tree, heap.summary(level, i).bits());
    });
  }
  return hash;
}

}  // namespace ream::replay
