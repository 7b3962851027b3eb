// Giving back: 64 KiB an op, from the end of a heap whose pages are all free and backed; a new heap
// when it is through. There is no memory behind the pages, so this is the search and the marking.

#include <algorithm>

#include "heap.h"
#include "mix.h"

namespace ream::bench {
namespace {

constexpr std::uint64_t kStepPages = 8;

Result scavenge(const Site& site, std::uint64_t ops) {
  Result result;
  Meter meter;
  while (result.ops < ops) {
    Heap heap(site);
    const page::Allocation all = heap->alloc(Pages(site.pages()));
    require(all.ok && heap->free(all.base, Pages(site.pages())), "the heap is not all free");
    const std::uint64_t count = std::min(ops - result.ops, site.pages() / kStepPages);
    timed(meter, [&] {
      for (std::uint64_t i = 0; i < count; ++i) {
        (void)heap->scavenge(Bytes(kStepPages << Go48::kPageShift));
      }
    });
    result.ops += count;
    if (result.ops == ops) result.checksum = heap.state_checksum();
  }
  result.cost = meter.total();
  return result;
}

}  // namespace

void add_scavenges(Mixes& mixes) {
  for (const Site* site : {&kDense[1], &kDense[2]}) {
    mixes.push_back({site->name("Scavenge", "/step=64KiB"), 1 << 18,
                     [=](std::uint64_t ops) { return scavenge(*site, ops); }});
  }
}

}  // namespace ream::bench
