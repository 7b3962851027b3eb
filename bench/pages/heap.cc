#include "heap.h"

#include <cstdio>
#include <cstdlib>

namespace ream::bench {

void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "bench_pages: %s\n", what);
  std::abort();
}

Heap::Heap() {
  page::Environment environment = memory_.environment();
  environment.purge = nullptr;  // nothing lies behind the pages
  require(heap_->init(environment) == page::InitResult::kOk, "no address space for metadata");
}

Heap::Heap(const Site& site) : Heap() {
  switch (site.at) {
    case At::kAll:
    case At::kStart:
      grow(0, site.heap_chunks);
      break;
    case At::kSpread:
      for (std::uint64_t c = 0; c < site.chunks; ++c) {
        grow((c + 1) * (site.heap_chunks / site.chunks) - 1, 1);
      }
      break;
    case At::kEnd:
      grow(0, 1);
      take(kOrigin, kChunkPages);
      grow(site.heap_chunks - site.chunks, site.chunks);
      break;
  }
}

Heap::~Heap() { heap_->release(); }

void Heap::take(Addr base, std::uint64_t pages) {
  require(heap_->alloc_range(base, Pages(pages)).ok, "pages are not free");
}

void Heap::grow(std::uint64_t first_chunk, std::uint64_t chunks) {
  const Addr base = kOrigin + Bytes(first_chunk << Go48::kLogChunkBytes);
  const Bytes bytes(chunks << Go48::kLogChunkBytes);
  require(heap_->grow(base, bytes) == page::GrowResult::kOk, "no memory for metadata");
}

std::uint32_t Heap::state_checksum() const {
  const replay::StateHash hash = replay::hash_state(*heap_);
  Checksum sum;
  for (const std::uint64_t part : {hash.used, hash.scavenged, hash.leaves, hash.tree}) {
    sum.add(part);
  }
  return sum.low();
}

// Takes runs, not single pages: the state is the same, and a heap of 256 GiB is ready sooner.
std::vector<Block> take_at_random(Heap& heap, const Site& site, unsigned occupied, Random& random) {
  return with_layout(site, [&](const auto layout) {
    std::vector<Block> live;
    live.reserve(site.pages() * (occupied + 1) / 100 + 1000);
    for (std::uint64_t first = 0; first < site.pages(); first += kChunkPages) {
      std::uint64_t run = 0;
      for (std::uint64_t page = first; page < first + kChunkPages; ++page) {
        if (random.next() % 100 < occupied) {
          live.push_back({static_cast<std::uint32_t>(page), 1});
          ++run;
        } else if (run > 0) {
          heap.take(layout.addr(page - run), run);
          run = 0;
        }
      }
      if (run > 0) heap.take(layout.addr(first + kChunkPages - run), run);
    }
    return live;
  });
}

void take_every_other(Heap& heap, const Site& site, bool hole) {
  with_layout(site, [&](const auto layout) {
    const std::uint64_t end = site.pages() - (hole ? 2 : 0);
    for (std::uint64_t page = 0; page < end; page += 2) heap.take(layout.addr(page), 1);
  });
}

}  // namespace ream::bench
