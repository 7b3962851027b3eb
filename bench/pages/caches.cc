// Page caches: 64 pages that one thread takes at once.
//
//   CacheCycle    fills a cache and flushes it
//   CacheRefill   fills caches and drops them, up the heap; a new heap when 32000 are gone
//   CacheAlloc1   takes single pages out of full caches

#include <string>

#include <benchmark/benchmark.h>

#include "heap.h"
#include "mix.h"

namespace ream::bench {
namespace {

constexpr const Site& kSite = kDense[2];  // 16 GiB

Result cycle(unsigned occupied, std::uint64_t ops) {
  Random random(4000 + occupied);
  Heap heap(kSite);
  (void)take_at_random(heap, kSite, occupied, random);
  Result result;
  Meter meter;
  timed(meter, [&] {
    for (std::uint64_t i = 0; i < ops; ++i) {
      PageHeap::Cache cache = heap->alloc_to_cache();
      heap->flush(cache);
    }
  });
  result.ops = ops;
  result.cost = meter.total();
  result.checksum = heap.state_checksum();
  return result;
}

Result refill(unsigned occupied, std::uint64_t ops) {
  constexpr std::uint64_t kRefills = 32000;
  Result result;
  Meter meter;
  while (result.ops < ops) {
    Random random(4000 + occupied);
    Heap heap(kSite);
    (void)take_at_random(heap, kSite, occupied, random);
    timed(meter, [&] {
      for (std::uint64_t i = 0; i < kRefills; ++i) {
        benchmark::DoNotOptimize(heap->alloc_to_cache());
      }
    });
    result.ops += kRefills;
    if (result.ops >= ops) result.checksum = heap.state_checksum();
  }
  result.cost = meter.total();
  return result;
}

// The cache is out of the compiler's sight, or it would be 64 constants.
Result alloc1(std::uint64_t ops) {
  Result result;
  Meter meter;
  std::uint64_t sum = 0;
  timed(meter, [&] {
    for (std::uint64_t i = 0; i < ops; i += page::kWordPages) {
      PageHeap::Cache cache(kOrigin, ~0ULL, 0);
      benchmark::DoNotOptimize(cache);
      for (unsigned k = 0; k < page::kWordPages; ++k) {
        sum += (cache.alloc(Pages(1)).base - kOrigin).n;
        benchmark::DoNotOptimize(cache);
      }
    }
  });
  result.ops = ops;
  result.cost = meter.total();
  result.checksum = static_cast<std::uint32_t>(sum);
  return result;
}

}  // namespace

void add_caches(Mixes& mixes) {
  for (const unsigned occupied : {0u, 50u, 90u, 99u}) {
    const std::string more = "/occ=" + std::to_string(occupied);
    mixes.push_back({kSite.name("CacheCycle", more), 1 << 19,
                     [=](std::uint64_t ops) { return cycle(occupied, ops); }});
    if (occupied == 99) continue;  // too few blocks with a free page for that many refills
    mixes.push_back({kSite.name("CacheRefill", more), 1 << 18,
                     [=](std::uint64_t ops) { return refill(occupied, ops); }});
  }
  mixes.push_back({"CacheAlloc1", 1 << 22, alloc1});
}

}  // namespace ream::bench
