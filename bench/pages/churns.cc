// Random frees and allocations.
//
//   Churn1       an op frees a random page of those in use and takes one page
//   Split1       the same in rounds, first frees, then allocations, timed apart
//   ChurnMixed   runs of 1 to 64 pages
//   ChurnLarge   runs of 512 to 8703 pages, 1 to 17 chunks

#include <algorithm>
#include <string>
#include <vector>

#include "heap.h"
#include "mix.h"

namespace ream::bench {
namespace {

// Takes n pages into `block`.
template <class Layout>
void take_block(PageHeap& heap, const Layout& layout, Block& block, std::uint32_t n) {
  const page::Allocation a = heap.alloc(Pages(n));
  block = a ? Block{layout.page(a.base), n} : Block{kNoPage, 0};
}

// For each k: frees live[k], if there is one, and takes as many pages as `size` says (without it,
// one) in its place.
template <class Layout>
Result churn(Heap& heap, const Layout& layout, std::vector<Block>& live,
             const std::vector<std::uint32_t>& ks, const std::vector<std::uint32_t>& sizes) {
  Result result;
  Checksum sum;
  Meter meter;
  bool freed = true;
  timed(meter, [&] {
    const std::uint32_t* size = sizes.empty() ? nullptr : sizes.data();
    for (const std::uint32_t k : ks) {
      Block& block = live[k];
      if (block.pages != 0) freed &= heap->free(layout.addr(block.page), Pages(block.pages));
      take_block(*heap, layout, block, size == nullptr ? 1 : *size++);
      sum.add(block.page);
    }
  });
  require(freed, "a free was refused");
  result.ops = ks.size();
  result.cost = meter.total();
  result.checksum = sum.low();
  return result;
}

Result churn1(const Site& site, unsigned occupied, std::uint64_t ops) {
  Random random(1000 + occupied);
  Heap heap(site);
  std::vector<Block> live = take_at_random(heap, site, occupied, random);
  const std::vector<std::uint32_t> ks = random.many_below(ops, live.size());
  return with_layout(site, [&](const auto layout) { return churn(heap, layout, live, ks, {}); });
}

// Fills the heap with runs of size(random) until one does not fit, then frees each but `occupied`
// in a hundred; churns with the same sizes.
template <class Size>
Result churn_runs(const Site& site, unsigned occupied, std::uint64_t ops, Size size) {
  Random random(3000 + occupied);
  Heap heap(site);
  const Contiguous layout(site);
  std::vector<Block> all;
  for (;;) {
    Block block;
    take_block(*heap, layout, block, size(random));
    if (block.pages == 0) break;
    all.push_back(block);
  }
  std::vector<Block> live;
  for (const Block& block : all) {
    if (random.next() % 100 < occupied) {
      live.push_back(block);
    } else {
      require(heap->free(layout.addr(block.page), Pages(block.pages)), "a free was refused");
    }
  }
  const std::vector<std::uint32_t> ks = random.many_below(ops, live.size());
  std::vector<std::uint32_t> sizes(ops);
  for (std::uint32_t& n : sizes) n = size(random);
  return churn(heap, layout, live, ks, sizes);
}

template <class Layout>
Result split(Heap& heap, const Layout& layout, std::vector<Block>& live, Random& random,
             std::uint64_t ops) {
  Result result;
  Checksum sum;
  Meter frees;
  Meter allocs;
  bool done = true;
  std::vector<std::uint32_t> pages(std::min<std::uint64_t>(4096, live.size() / 4));
  while (result.ops < ops) {
    for (std::uint32_t& page : pages) {
      const std::uint64_t k = random.below(live.size());
      page = live[k].page;
      live[k] = live.back();
      live.pop_back();
    }
    timed<Part::kFree>(frees, [&] {
      for (const std::uint32_t page : pages) done &= heap->free(layout.addr(page), Pages(1));
    });
    timed<Part::kAlloc>(allocs, [&] {
      for (std::uint32_t& page : pages) {
        const page::Allocation a = heap->alloc(Pages(1));
        page = a ? layout.page(a.base) : kNoPage;
      }
    });
    for (const std::uint32_t page : pages) {
      live.push_back({page, 1});
      sum.add(page);
    }
    result.ops += pages.size();
  }
  require(done, "a free was refused");
  result.checksum = sum.low();
  result.free = frees.total();
  result.alloc = allocs.total();
  return result;
}

Result split1(const Site& site, unsigned occupied, std::uint64_t ops) {
  Random random(2000 + occupied);
  Heap heap(site);
  std::vector<Block> live = take_at_random(heap, site, occupied, random);
  return with_layout(site,
                     [&](const auto layout) { return split(heap, layout, live, random, ops); });
}

std::uint32_t mixed_size(Random& random) {
  return static_cast<std::uint32_t>(1 + random.below(64));
}
std::uint32_t large_size(Random& random) {
  return static_cast<std::uint32_t>(512 + random.below(8192));
}

std::string occupied_name(unsigned occupied) { return "/occ=" + std::to_string(occupied); }

void add_single(Mixes& mixes, const Site& site) {
  constexpr std::uint64_t kOps = 1 << 20;
  for (const unsigned occupied : {50u, 90u, 99u}) {
    mixes.push_back({site.name("Churn1", occupied_name(occupied)), kOps,
                     [=](std::uint64_t ops) { return churn1(site, occupied, ops); }});
    mixes.push_back({site.name("Split1", occupied_name(occupied)), kOps,
                     [=](std::uint64_t ops) { return split1(site, occupied, ops); }});
  }
}

template <class Size>
void add_runs(Mixes& mixes, const char* name, const Site& site, std::uint64_t count, Size size) {
  for (const unsigned occupied : {50u, 90u}) {
    mixes.push_back({site.name(name, occupied_name(occupied)), count,
                     [=](std::uint64_t ops) { return churn_runs(site, occupied, ops, size); }});
  }
}

}  // namespace

void add_churns(Mixes& mixes) {
  constexpr std::uint64_t kMixedOps = 1 << 19;
  constexpr std::uint64_t kLargeOps = 1 << 16;
  for (const Site& site : kDense) {
    add_single(mixes, site);
    add_runs(mixes, "ChurnMixed", site, kMixedOps, mixed_size);
    if (site.chunks >= 256) add_runs(mixes, "ChurnLarge", site, kLargeOps, large_size);
  }
  for (const Site& site : kSparse) {
    add_single(mixes, site);
    if (site.at == At::kEnd) add_runs(mixes, "ChurnMixed", site, kMixedOps, mixed_size);
  }
}

}  // namespace ream::bench
