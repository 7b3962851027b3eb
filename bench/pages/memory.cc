// What the machine's memory costs, and what an operation costs that cannot be in the caches.
//
//   RandomPair      a heap of 2^26 pages, all in use; an op frees a page at random and takes the
//                   lowest free one, which is that page: both ends of the tree change, at every
//                   rank
//   DependentLoad   one load, whose address the one before gave, in as much memory as the metadata
//                   of that heap: what a miss costs
//
// Go has neither: the two are to be read beside each other.

#include <sys/mman.h>

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/config.h"
#include "heap.h"
#include "mix.h"

namespace ream::bench {
namespace {

constexpr Site kPairSite{"512GiB", 131072, 131072};
static_assert(kPairSite.heap_chunks * kChunkPages == 1 << 26);

Result random_pair(std::uint64_t ops) {
  Heap heap(kPairSite);
  require(heap->alloc(Pages(kPairSite.pages())).ok, "the heap is not all free");
  const Contiguous layout(kPairSite);
  Random random(7000);
  const std::vector<std::uint32_t> pages = random.many_below(ops, kPairSite.pages());
  Result result;
  Checksum sum;
  Meter meter;
  bool same = true;
  timed(meter, [&] {
    for (const std::uint32_t page : pages) {
      same &= heap->free(layout.addr(page), Pages(1));
      const std::uint32_t got = layout.page(heap->alloc(Pages(1)).base);
      same &= got == page;
      sum.add(got);
    }
  });
  require(same, "not the page that was freed");
  result.ops = ops;
  result.cost = meter.total();
  result.checksum = sum.low();
  result.metadata_bytes = heap->metadata().committed.n;
  return result;
}

// A line of memory that names another.
struct alignas(kCacheLineBytes) Line {
  std::uint32_t next;
};

// As many lines as that metadata has, in pages like its own, in one random cycle.
class Lines {
 public:
  Lines() : count_(metadata_bytes() / sizeof(Line)) {
    void* memory = mmap(nullptr, count_ * sizeof(Line), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "no memory");
    lines_ = static_cast<Line*>(memory);
    // Sattolo's shuffle makes one cycle of all.
    std::vector<std::uint32_t> order(count_);
    std::iota(order.begin(), order.end(), 0);
    Random random(7001);
    for (std::uint64_t i = count_ - 1; i > 0; --i) std::swap(order[i], order[random.below(i)]);
    for (std::uint64_t i = 0; i < count_; ++i) lines_[i].next = order[i];
  }
  ~Lines() { munmap(lines_, count_ * sizeof(Line)); }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  [[nodiscard]] std::uint32_t after(std::uint32_t i) const { return lines_[i].next; }
  [[nodiscard]] std::uint64_t bytes() const { return count_ * sizeof(Line); }

 private:
  static std::uint64_t metadata_bytes() {
    Heap heap(kPairSite);
    return heap->metadata().committed.n;
  }

  std::uint64_t count_;
  Line* lines_ = nullptr;
};

Result dependent_load(std::uint64_t ops) {
  const Lines lines;
  Result result;
  Meter meter;
  std::uint32_t at = 0;
  timed(meter, [&] {
    for (std::uint64_t i = 0; i < ops; ++i) at = lines.after(at);
  });
  benchmark::DoNotOptimize(at);
  result.ops = ops;
  result.cost = meter.total();
  result.checksum = at;
  result.metadata_bytes = lines.bytes();
  return result;
}

}  // namespace

void add_memory(Mixes& mixes) {
  mixes.push_back({kPairSite.name("RandomPair"), 1 << 20, random_pair});
  mixes.push_back({kPairSite.name("DependentLoad"), 1 << 20, dependent_load});
}

}  // namespace ream::bench
