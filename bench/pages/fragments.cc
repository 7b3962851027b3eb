// Heaps where every even page is in use.
//
//   FragFail2   two pages are asked for, and fit nowhere
//   FragLast2   they fit only in the last three pages; an op frees and takes them

#include <vector>

#include "heap.h"
#include "mix.h"

namespace ream::bench {
namespace {

Result fail2(const Site& site, std::uint64_t ops) {
  Heap heap(site);
  take_every_other(heap, site, false);
  Result result;
  Meter meter;
  std::uint64_t found = 0;
  timed(meter, [&] {
    for (std::uint64_t i = 0; i < ops; ++i) found += heap->alloc(Pages(2)).ok;
  });
  require(found == 0, "two pages were found");
  result.ops = ops;
  result.cost = meter.total();
  result.checksum = heap.state_checksum();
  return result;
}

Result last2(const Site& site, std::uint64_t ops) {
  Heap heap(site);
  take_every_other(heap, site, true);
  return with_layout(site, [&](const auto layout) {
    Result result;
    Checksum sum;
    Meter meter;
    Block block;
    bool freed = true;
    timed(meter, [&] {
      for (std::uint64_t i = 0; i < ops; ++i) {
        if (block.pages != 0) freed &= heap->free(layout.addr(block.page), Pages(2));
        const page::Allocation a = heap->alloc(Pages(2));
        block = a ? Block{layout.page(a.base), 2} : Block{kNoPage, 0};
        sum.add(block.page);
      }
    });
    require(freed && block.page == site.pages() - 3, "not the last pages");
    result.ops = ops;
    result.cost = meter.total();
    result.checksum = sum.low();
    return result;
  });
}

}  // namespace

void add_fragments(Mixes& mixes) {
  const auto add = [&](const Site& site) {
    mixes.push_back(
        {site.name("FragFail2"), 1 << 16, [=](std::uint64_t ops) { return fail2(site, ops); }});
    mixes.push_back(
        {site.name("FragLast2"), 1 << 20, [=](std::uint64_t ops) { return last2(site, ops); }});
  };
  for (const Site& site : kDense) add(site);
  for (const Site& site : kSparse) {
    if (site.at != At::kStart) add(site);  // its free pages would hold any two
  }
}

}  // namespace ream::bench
