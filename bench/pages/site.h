// Where a mix does its work: how large the heap is, how much of it is worked on, and where that
// lies. Mixes number the pages of their working set from 0; a layout turns numbers into addresses.
//
// Up to 256 GiB the working set is the heap. A heap of 8 or 128 TiB cannot be filled, so its
// working set is that of the 64 MiB heap, 16 chunks, put
//
//   at=start    |wwww . . . . . . . . . . . .|   below free pages: all of the heap is grown
//   at=spread   |   w   w   w   w   w   w   w|   a chunk here and there, the last one at the end
//   at=end      |x                       wwww|   the first chunk is in use, the rest not grown
//
// What is equal to 64 MiB: the operations, their results (and so the checksum, which compare holds
// against that of 64 MiB), how many chunks they touch, and so the lines of chunk metadata. What is
// not, and what the ratio to 64 MiB shows: the summaries between two chunks of the set lie further
// apart and higher in the tree (`spread` shares none below the crown), and so do the pages of
// metadata, which costs TLB entries. Runs that cross chunks do not exist in `spread`, and never end
// in `start`; mixes of runs are only done in `end`.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/units.h"
#include "page/geometry.h"

namespace ream::bench {

using page::Go48;
using page::kChunkPages;

enum class At { kAll, kStart, kSpread, kEnd };

struct Site {
  const char* heap;           // its size, for the name
  std::uint64_t heap_chunks;  // of address space
  std::uint64_t chunks;       // of the working set
  At at = At::kAll;

  [[nodiscard]] std::uint64_t pages() const { return chunks * kChunkPages; }
  // `mix` and the heap, `more` (begins with /), and the place if it is not the whole heap.
  [[nodiscard]] std::string name(const std::string& mix, const std::string& more = "") const {
    constexpr const char* kAt[] = {"", "/at=start", "/at=spread", "/at=end"};
    return mix + "/heap=" + heap + more + kAt[static_cast<int>(at)];
  }
};

inline constexpr Site kDense[] = {
    {"64MiB", 16, 16}, {"1GiB", 256, 256}, {"16GiB", 4096, 4096}, {"256GiB", 65536, 65536}};
inline constexpr Site kSparse[] = {
    {"8TiB", 1ULL << 21, 16, At::kStart},    {"8TiB", 1ULL << 21, 16, At::kSpread},
    {"8TiB", 1ULL << 21, 16, At::kEnd},      {"128TiB", 1ULL << 25, 16, At::kStart},
    {"128TiB", 1ULL << 25, 16, At::kSpread}, {"128TiB", 1ULL << 25, 16, At::kEnd}};

// The first page of every heap; where Go's tests have theirs.
inline constexpr Addr kOrigin{0xC000ULL << Go48::kLogChunkBytes};

class Contiguous {
 public:
  explicit Contiguous(const Site& site)
      : base_(kOrigin + Bytes(site.at == At::kEnd
                                  ? (site.heap_chunks - site.chunks) << Go48::kLogChunkBytes
                                  : 0)) {}
  [[nodiscard]] Addr addr(std::uint64_t page) const {
    return base_ + Bytes(page << Go48::kPageShift);
  }
  [[nodiscard]] std::uint32_t page(Addr a) const {
    return static_cast<std::uint32_t>((a - base_).n >> Go48::kPageShift);
  }

 private:
  Addr base_;
};

// The heap in as many equal parts as there are chunks; each lies at the end of its part.
class Spread {
 public:
  explicit Spread(const Site& site)
      : shift_(static_cast<unsigned>(std::countr_zero(site.heap_chunks / site.chunks))),
        first_(kOrigin + Bytes(((1ULL << shift_) - 1) << Go48::kLogChunkBytes)) {}
  [[nodiscard]] Addr addr(std::uint64_t page) const {
    const std::uint64_t chunk = page / kChunkPages << shift_;
    return first_ + Bytes((chunk * kChunkPages + page % kChunkPages) << Go48::kPageShift);
  }
  [[nodiscard]] std::uint32_t page(Addr a) const {
    const std::uint64_t page = (a - first_).n >> Go48::kPageShift;
    const std::uint64_t chunk = page / kChunkPages >> shift_;
    return static_cast<std::uint32_t>(chunk * kChunkPages + page % kChunkPages);
  }

 private:
  unsigned shift_;
  Addr first_;
};

// Calls use() with the layout of a site: loops over pages are compiled for each.
template <class Use>
auto with_layout(const Site& site, Use use) {
  return site.at == At::kSpread ? use(Spread(site)) : use(Contiguous(site));
}

}  // namespace ream::bench
