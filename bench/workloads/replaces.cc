// Replacement: many live blocks whose order of frees has nothing to do with the order of
// allocation, so free lists scatter and neighbours seldom become free together.
//
// Either one block at random is freed and allocated anew, or all are allocated and then all freed.

#include <numeric>
#include <utility>
#include <vector>

#include "support.h"

namespace bench {
namespace {

Result replace(std::size_t slots, std::size_t lo, std::size_t hi, std::uint64_t count) {
  Rng rng(1);
  std::vector<Block> blocks(slots);
  Result result;
  for (std::uint64_t i = 0; i < count; ++i) {
    Block& block = blocks[rng.below(slots)];
    result.checksum += drop_block(block);
    block = make_block(rng.between(lo, hi), static_cast<std::uint32_t>(i));
  }
  for (Block& block : blocks) {
    result.checksum += drop_block(block);
  }
  result.ops = 2 * count;
  return result;
}

Result replace_16_1k(double scale) { return replace(1000, 16, kKiB, scaled(20'000'000, scale)); }

Result replace_16_32k(double scale) {
  return replace(1000, 16, 32 * kKiB, scaled(2'000'000, scale));
}

// Allocates `kBatch` blocks, then frees all of them in a random order, `batches` times.
Result batch(std::size_t lo, std::size_t hi, std::uint64_t batches) {
  constexpr std::size_t kBatch = 1000;
  Rng rng(11);
  std::vector<Block> blocks(kBatch);
  std::vector<std::uint32_t> order(kBatch);
  std::iota(order.begin(), order.end(), 0u);
  for (std::size_t i = kBatch - 1; i > 0; --i) {
    std::swap(order[i], order[rng.below(i + 1)]);
  }
  Result result;
  for (std::uint64_t round = 0; round < batches; ++round) {
    for (Block& block : blocks) {
      block = make_block(rng.between(lo, hi), static_cast<std::uint32_t>(round));
    }
    for (const std::uint32_t i : order) {
      result.checksum += drop_block(blocks[i]);
    }
  }
  result.ops = 2 * batches * kBatch;
  return result;
}

Result batch_16_1k(double scale) { return batch(16, kKiB, scaled(20'000, scale)); }

Result batch_16_32k(double scale) { return batch(16, 32 * kKiB, scaled(1000, scale)); }

// A heap far larger than any cache, of slots that are each used for a long time.
Result replace_large_heap(double scale) {
  const std::uint64_t slots = scaled(1'000'000, scale);
  return replace(slots, 16, kKiB / 4, scaled(5'000'000, scale));
}

// About 512 MiB live in blocks of 64 KiB to 16 MiB, every page of a new one written: what a column
// store, an image pipeline or a video filter does.
Result replace_64k_16m(double scale) {
  constexpr std::size_t kSlots = 180;  // times the mean of the sizes below, 2.9 MiB
  const std::uint64_t count = scaled(6'000, scale);
  Rng rng(2);
  std::vector<Block> blocks(kSlots);
  Result result;
  for (std::uint64_t i = 0; i < count; ++i) {
    Block& block = blocks[rng.below(kSlots)];
    result.checksum += drop_block(block);
    block = make_block(rng.log_between(64 * kKiB, 16 * kMiB), static_cast<std::uint32_t>(i));
    touch_pages(block.data + 16, block.bytes - 32);  // between the two stamps
  }
  for (Block& block : blocks) {
    result.checksum += drop_block(block);
  }
  result.ops = 2 * count;
  return result;
}

constexpr Workload kReplaces[] = {
    {"replace_16_1k", "1000 live blocks of 16 B to 1 KiB, one at random replaced", replace_16_1k},
    {"replace_16_32k", "1000 live blocks of 16 B to 32 KiB, one at random replaced",
     replace_16_32k},
    {"batch_16_1k", "1000 blocks of 16 B to 1 KiB allocated, then freed in random order",
     batch_16_1k},
    {"batch_16_32k", "1000 blocks of 16 B to 32 KiB allocated, then freed in random order",
     batch_16_32k},
    {"replace_large_heap", "a million live blocks of 16 to 256 B, one at random replaced",
     replace_large_heap},
    {"replace_64k_16m", "512 MiB live in blocks of 64 KiB to 16 MiB, replaced and touched",
     replace_64k_16m},
};

}  // namespace

std::span<const Workload> replaces() { return kReplaces; }

}  // namespace bench
