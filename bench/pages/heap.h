// A page allocator with metadata and no memory behind its pages, and the states that mixes begin
// in. All are made through the public functions.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "page/metadata_memory.h"
#include "page/page_alloc.h"
#include "random.h"
#include "site.h"

namespace ream::bench {

using PageHeap = page::PageAlloc<Go48>;

inline constexpr std::uint32_t kNoPage = ~0u;  // as Go's benchmarks write a failure

// Ends the program when what a benchmark takes for granted is not so.
void require(bool ok, const char* what);

// One allocation: its first page, and how many; 0 for none.
struct Block {
  std::uint32_t page = 0;
  std::uint32_t pages = 0;
};

class Heap {
 public:
  Heap();                           // nothing grown
  explicit Heap(const Site& site);  // grown, all free
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  PageHeap& operator*() { return *heap_; }
  PageHeap* operator->() { return heap_.get(); }

  // Takes these pages, all free, of the site.
  void take(Addr base, std::uint64_t pages);
  void grow(std::uint64_t first_chunk, std::uint64_t chunks);

  // The low half of the hash of everything: bitmaps and summaries of all levels.
  [[nodiscard]] std::uint32_t state_checksum() const;

 private:
  page::test::MetadataMemory memory_;
  std::unique_ptr<PageHeap> heap_ = std::make_unique<PageHeap>();
};

// Takes page i exactly if next() % 100 < occupied, i ascending. Returns those.
std::vector<Block> take_at_random(Heap& heap, const Site& site, unsigned occupied, Random& random);

// Takes every even page; with `hole` the last three pages stay free.
void take_every_other(Heap& heap, const Site& site, bool hole);

}  // namespace ream::bench
