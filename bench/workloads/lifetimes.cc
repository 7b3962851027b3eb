// Lifetimes: random sizes that live for random times, most of them long.
//
// After alloc-test: of a table far larger than any cache one slot at random is freed where it is
// full and filled where it is empty, so about half of it is live. Each doubling of a size is half
// as likely, and all of a block is written when it is made and read when it is freed.

#include <cstring>
#include <vector>

#include "support.h"

namespace bench {
namespace {

constexpr std::size_t kSlots = std::size_t{1} << 18;  // of all threads together
constexpr std::size_t kMinBytes = 16;
constexpr unsigned kDoublings = 6;  // up to 1 KiB

std::size_t falling_size(Rng& rng) {
  const std::uint64_t bits = rng.next() | std::uint64_t{1} << (kDoublings - 1);
  const std::size_t base = kMinBytes << __builtin_ctzll(bits);
  return rng.between(base, 2 * base);
}

std::uint64_t sum_bytes(const Block& block) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= block.bytes; at += sizeof(std::uint64_t)) {
    std::uint64_t word;
    std::memcpy(&word, block.data + at, sizeof(word));
    sum += word;
  }
  return sum;
}

std::uint64_t take_turns(Rng& rng, std::vector<Block>& slots, std::uint64_t steps) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < steps; ++i) {
    Block& slot = slots[rng.below(slots.size())];
    if (slot.data != nullptr) {
      sum += sum_bytes(slot);
      sum += drop_block(slot);
    } else {
      const std::size_t bytes = falling_size(rng);
      void* const data = must_malloc(bytes);
      std::memset(data, static_cast<int>(i & 0xff), bytes);
      slot = stamp_block(data, bytes, static_cast<std::uint32_t>(i));
    }
  }
  for (Block& slot : slots) {
    sum += drop_block(slot);
  }
  return sum;
}

Result alloc_test(unsigned threads, std::uint64_t steps) {
  std::vector<std::uint64_t> sums(threads);
  run_threads(threads, [&](unsigned self) {
    Rng rng(500 + self);
    std::vector<Block> slots(kSlots / threads);
    sums[self] = take_turns(rng, slots, steps);
  });
  Result result;
  for (const std::uint64_t sum : sums) {
    result.checksum += sum;
  }
  result.ops = steps * threads;
  return result;
}

Result alloc_test_1(double scale) { return alloc_test(1, scaled(8'000'000, scale)); }

Result alloc_test_4(double scale) { return alloc_test(kThreads, scaled(3'000'000, scale)); }

constexpr Workload kLifetimes[] = {
    {"alloc_test_1", "16 B to 1 KiB, small ones common, that live for random times", alloc_test_1},
    {"alloc_test_4", "the same in 4 threads with a quarter of the blocks each", alloc_test_4},
};

}  // namespace

std::span<const Workload> lifetimes() { return kLifetimes; }

}  // namespace bench
