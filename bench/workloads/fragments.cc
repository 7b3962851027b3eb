// Fragmentation: a heap that is filled, thinned out at random and refilled with other sizes.
//
// What is left of one phase lies scattered over the whole heap. Peak RSS shows whether the next
// phase fits between it; end_rss_kib, taken while only the survivors live, shows what is given
// back.

#include <vector>

#include "support.h"

namespace bench {
namespace {

struct Mix {
  std::size_t lo;
  std::size_t hi;
};

// Neither sizes nor size classes of one phase are those of the one before.
constexpr Mix kMixes[] = {{16, 1024}, {1024, 8192}, {16, 128}, {4096, 65536}, {200, 400}};

constexpr std::uint64_t kLiveBytes = 256 * kMiB;

// Frees nine in ten, at random, and closes the gaps in the list.
std::uint64_t thin_out(std::vector<Block>& blocks, Rng& rng, std::uint64_t& live_bytes) {
  std::uint64_t sum = 0;
  std::size_t kept = 0;
  for (Block& block : blocks) {
    if (rng.below(10) == 0) {
      blocks[kept++] = block;
    } else {
      live_bytes -= block.bytes;
      sum += drop_block(block);
    }
  }
  blocks.resize(kept);
  return sum;
}

Result fragment(double scale) {
  Rng rng(8);
  // Kept until the process ends, so that end_rss_kib is taken with the survivors live.
  auto& blocks = *new std::vector<Block>();
  std::uint64_t live_bytes = 0;
  const std::uint64_t limit_bytes = scaled(kLiveBytes, scale);
  // Room for the most blocks any phase has, so that the list's own growth is no part of the
  // picture.
  blocks.reserve(limit_bytes / 64);
  Result result;
  std::uint32_t tag = 0;
  for (const Mix& mix : kMixes) {
    while (live_bytes < limit_bytes) {
      const std::size_t bytes = rng.between(mix.lo, mix.hi);
      const Block block = make_block(bytes, tag++);
      touch_pages(block.data + 8, bytes - 16);
      blocks.push_back(block);
      live_bytes += bytes;
    }
    result.checksum += thin_out(blocks, rng, live_bytes);
  }
  result.ops = 2 * std::uint64_t{tag} - blocks.size();
  result.checksum += live_bytes;
  return result;
}

// A working set whose sizes drift all the time, as in a cache whose entries grow: up to 400 MiB
// live, so space that small entries leave has to serve larger ones.
Result drift(double scale) {
  constexpr std::size_t kSlots = 100'000;
  Rng rng(9);
  std::vector<Block> blocks(kSlots);
  Result result;
  const std::uint64_t count = scaled(3'000'000, scale);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t mean = 64 + 4032 * i / count;
    Block& block = blocks[rng.below(kSlots)];
    result.checksum += drop_block(block);
    block = make_block(rng.between(mean / 2, mean + mean / 2), static_cast<std::uint32_t>(i));
  }
  for (Block& block : blocks) {
    result.checksum += drop_block(block);
  }
  result.ops = 2 * count;
  return result;
}

constexpr Workload kFragments[] = {
    {"fragment", "256 MiB filled, 90 % freed at random, refilled with other sizes, five times",
     fragment},
    {"drift", "100,000 live blocks, replaced at random while sizes drift from 64 B to 4 KiB",
     drift},
};

}  // namespace

std::span<const Workload> fragments() { return kFragments; }

}  // namespace bench
