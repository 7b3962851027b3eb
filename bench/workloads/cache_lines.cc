// Cache lines: threads that write to small blocks of their own, which had better lie in lines of
// their own.
//
// Where an allocator hands pieces of one line to two threads, each write takes the line from the
// other core. In the scratch form the blocks come from one thread and are freed by the others,
// which must not put the pieces back into their own circulation.

#include <vector>

#include "support.h"

namespace bench {
namespace {

constexpr std::size_t kBytes = 16;
constexpr unsigned kWrites = 200;

// Allocates, writes again and again, frees.
std::uint64_t write_often(std::uint64_t rounds) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    auto* const data = static_cast<volatile std::uint64_t*>(must_malloc(kBytes));
    *data = i;
    for (unsigned write = 0; write < kWrites; ++write) {
      *data = *data + write;
    }
    sum += *data;
    std::free(const_cast<std::uint64_t*>(data));
  }
  return sum;
}

Result write_in_threads(double scale, bool free_others_first) {
  const std::uint64_t rounds = scaled(600'000, scale);
  std::vector<Block> first(kThreads);
  if (free_others_first) {
    for (Block& block : first) {
      block = make_block(kBytes, 1);
    }
  }
  std::vector<std::uint64_t> sums(kThreads);
  run_threads(kThreads, [&](unsigned self) {
    const std::uint64_t sum = drop_block(first[self]);
    sums[self] = sum + write_often(rounds);
  });
  Result result;
  for (const std::uint64_t sum : sums) {
    result.checksum += sum;
  }
  result.ops = 2 * rounds * kThreads;
  return result;
}

Result cache_thrash(double scale) { return write_in_threads(scale, false); }

Result cache_scratch(double scale) { return write_in_threads(scale, true); }

constexpr Workload kCacheLines[] = {
    {"cache_thrash", "4 threads allocate 16 B, write 200 times, free", cache_thrash},
    {"cache_scratch", "the same after freeing a block that the main thread made", cache_scratch},
};

}  // namespace

std::span<const Workload> cache_lines() { return kCacheLines; }

}  // namespace bench
