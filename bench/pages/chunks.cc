// One chunk at a time: its summary, the first fit in it, and eight summaries made one. The bitmaps
// are those of Go's benchmarks, 256 of each kind; the checksum is the sum of the results.

#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>

#include "mix.h"
#include "page/chunk_find.h"
#include "page/chunk_summary.h"
#include "page/summary.h"
#include "random.h"

namespace ream::bench {
namespace {

using page::ChunkBits;
using page::kChunkPages;
using page::Summary;

// Runs of 1 to `longest` pages, in use and free in turn.
ChunkBits runs_up_to(unsigned longest, Random& random) {
  ChunkBits bits{};
  bool on = (random.next() & 1) == 0;
  for (unsigned at = 0; at < kChunkPages;) {
    const auto drawn = static_cast<unsigned>(1 + random.below(longest));
    const unsigned n = std::min(drawn, kChunkPages - at);
    if (on) page::set_range(bits, at, n);
    at += n;
    on = !on;
  }
  return bits;
}

ChunkBits bitmap(std::string_view kind, Random& random) {
  ChunkBits bits{};
  if (kind == "runs70") return runs_up_to(70, random);
  for (std::uint64_t& word : bits) {
    if (kind == "full") word = page::kAllOnes;
    if (kind == "alternate") word = 0x5555555555555555;
    if (kind == "random50") word = random.next();
    if (kind == "dense87") word = random.next() | random.next() | random.next();
    if (kind == "sparse6") word = random.next() & random.next() & random.next() & random.next();
  }
  return bits;
}

constexpr unsigned kBitmaps = 256;

std::vector<ChunkBits> bitmaps(std::string_view kind) {
  Random random(5);
  std::vector<ChunkBits> all(kBitmaps);
  for (ChunkBits& bits : all) bits = bitmap(kind, random);
  return all;
}

// Adds up one(i) over all ops.
template <class One>
Result sum_of(std::uint64_t ops, One one) {
  Result result;
  Meter meter;
  std::uint64_t sum = 0;
  timed(meter, [&] {
    for (std::uint64_t i = 0; i < ops; ++i) sum += one(i);
  });
  result.ops = ops;
  result.cost = meter.total();
  result.checksum = static_cast<std::uint32_t>(sum);
  return result;
}

Result summarize(std::string_view kind, std::uint64_t ops) {
  const std::vector<ChunkBits> all = bitmaps(kind);
  return sum_of(ops, [&](std::uint64_t i) { return page::summarize(all[i % kBitmaps]).bits(); });
}

// As PageAlloc does it, and Go's find(): where the lowest free page is, then the run.
Result find(std::string_view kind, unsigned n, std::uint64_t ops) {
  const std::vector<ChunkBits> all = bitmaps(kind);
  return sum_of(ops, [&](std::uint64_t i) -> std::uint64_t {
    const ChunkBits& used = all[i % kBitmaps];
    const unsigned lowest = page::find_free_page(used, 0);
    benchmark::DoNotOptimize(lowest);
    if (lowest == page::kNoPage) return ~0ULL;
    const unsigned at = page::find_run(used, n, lowest);
    return at == page::kNoPage ? ~0ULL : at;
  });
}

Result merge8(std::uint64_t ops) {
  constexpr unsigned kBlocks = 64;
  Random random(6);
  std::vector<Summary> all(8 * kBlocks);
  for (Summary& s : all) s = page::summarize(runs_up_to(70, random));
  return sum_of(ops, [&](std::uint64_t i) {
    return page::Summary::pack(
               page::merge_summaries(&all[i % kBlocks * 8], 8, page::kLogChunkPages))
        .bits();
  });
}

}  // namespace

void add_chunks(Mixes& mixes) {
  constexpr std::uint64_t kOps = 1 << 21;
  for (const std::string kind :
       {"free", "full", "random50", "dense87", "sparse6", "alternate", "runs70"}) {
    mixes.push_back(
        {"Summarize/" + kind, kOps, [=](std::uint64_t ops) { return summarize(kind, ops); }});
  }
  for (const std::string kind : {"free", "random50", "dense87", "alternate", "runs70"}) {
    for (const unsigned n : {1u, 2u, 8u, 32u, 64u, 65u, 256u}) {
      mixes.push_back({"Find/" + kind + "/n=" + std::to_string(n), kOps,
                       [=](std::uint64_t ops) { return find(kind, n, ops); }});
    }
  }
  mixes.push_back({"Merge8", kOps, merge8});
}

}  // namespace ream::bench
