// Growing, and the first use of what was grown.
//
//   FillDrain1   takes all pages of a new heap one by one, then frees them in the same order;
//                metadata is touched for the first time, page faults and all
//   Grow         growths of a step each, one after the other; a new heap every 64 GiB

#include <vector>

#include "heap.h"
#include "mix.h"

namespace ream::bench {
namespace {

// One round on a heap of its own. Returns the checksum.
template <class Layout>
std::uint32_t fill_and_drain(Heap& heap, const Layout& layout, std::vector<std::uint32_t>& pages,
                             Meter& allocs, Meter& frees) {
  timed<Part::kAlloc>(allocs, [&] {
    for (std::uint32_t& page : pages) {
      const page::Allocation a = heap->alloc(Pages(1));
      page = a ? layout.page(a.base) : kNoPage;
    }
  });
  bool freed = true;
  timed<Part::kFree>(frees, [&] {
    for (const std::uint32_t page : pages) freed &= heap->free(layout.addr(page), Pages(1));
  });
  require(freed, "a free was refused");
  Checksum sum;
  for (const std::uint32_t page : pages) sum.add(page);
  return sum.low();
}

Result fill_drain1(const Site& site, std::uint64_t ops) {
  Result result;
  Meter allocs;
  Meter frees;
  std::vector<std::uint32_t> pages(site.pages());
  while (result.ops < ops) {
    Heap heap(site);
    result.checksum = with_layout(site, [&](const auto layout) {
      return fill_and_drain(heap, layout, pages, allocs, frees);
    });
    result.ops += pages.size();
  }
  result.alloc = allocs.total();
  result.free = frees.total();
  return result;
}

Result grow(std::uint64_t step_chunks, std::uint64_t ops) {
  constexpr std::uint64_t kHeapChunks = 16384;
  Result result;
  Meter meter;
  while (result.ops < ops) {
    Heap heap;
    timed(meter, [&] {
      for (std::uint64_t c = 0; c < kHeapChunks && result.ops < ops; c += step_chunks) {
        heap.grow(c, step_chunks);
        ++result.ops;
      }
    });
    if (result.ops == ops) result.checksum = heap.state_checksum();
  }
  result.cost = meter.total();
  return result;
}

}  // namespace

void add_growths(Mixes& mixes) {
  const auto add_fill = [&](const Site& site) {
    mixes.push_back({site.name("FillDrain1"), 1 << 20,
                     [=](std::uint64_t ops) { return fill_drain1(site, ops); }});
  };
  for (const Site& site : kDense) {
    if (site.chunks <= 4096) add_fill(site);
  }
  for (const Site& site : kSparse) add_fill(site);

  struct Step {
    const char* name;
    std::uint64_t chunks;
    std::uint64_t ops;
  };
  constexpr Step kSteps[] = {
      {"4MiB", 1, 32768}, {"64MiB", 16, 8192}, {"1GiB", 256, 1024}, {"16GiB", 4096, 256}};
  for (const Step& step : kSteps) {
    mixes.push_back({std::string("Grow/step=") + step.name, step.ops,
                     [=](std::uint64_t ops) { return grow(step.chunks, ops); }});
  }
}

}  // namespace ream::bench
