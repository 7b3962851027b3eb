// Sizes and live objects; see population.h.

#include "population.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "phase.h"

namespace resident {

using bench::Block;
using bench::kKiB;
using bench::Rng;

std::size_t log_uniform(Rng& rng, std::size_t lo, std::size_t hi) {
  const double part = static_cast<double>(rng.next() >> 11) * 0x1p-53;  // in [0, 1)
  const double doublings = std::log2(static_cast<double>(hi) / static_cast<double>(lo));
  const double bytes = static_cast<double>(lo) * std::exp2(part * doublings);
  return std::min(static_cast<std::size_t>(bytes), hi - 1);
}

std::size_t mixed_size(Rng& rng) {
  const std::uint64_t percent = rng.below(100);
  if (percent < 70) {
    return log_uniform(rng, 16, 128);
  }
  if (percent < 90) {
    return log_uniform(rng, 128, kKiB);
  }
  return percent < 98 ? log_uniform(rng, kKiB, 8 * kKiB) : log_uniform(rng, 8 * kKiB, 64 * kKiB);
}

std::size_t buffer_size(Rng& rng) { return rng.between(kKiB, 32 * kKiB); }

// The start is what was there before the addresses' own memory.
std::size_t Population::report_and_room_for(std::uint64_t live_bytes) {
  const std::size_t room = live_bytes / 512 + 4096;
  report_start(static_cast<std::int64_t>(MappedArray<bench::Block>::bytes_for(room)));
  return room;
}

Population::Population(std::uint64_t live_bytes, SizeOf size_of, Rng& rng)
    : blocks_(report_and_room_for(live_bytes)) {
  const Phase filling("full");
  fill(live_bytes, size_of, rng);
  filling.end({{"live_bytes", static_cast<std::int64_t>(live_bytes_)},
               {"objects", static_cast<std::int64_t>(count_)}});
}

void Population::fill(std::uint64_t live_bytes, SizeOf size_of, Rng& rng) {
  const std::span<Block> room = blocks_.all();
  while (live_bytes_ < live_bytes) {
    if (count_ == room.size()) {
      bench::die("more objects than there is room for");
    }
    const std::size_t bytes = size_of(rng);
    const Block block = bench::make_block(bytes, next_tag_++);
    // Between the stamps.
    std::memset(block.data + 8, static_cast<int>(next_tag_ | 1), bytes - 16);
    room[count_++] = block;
    live_bytes_ += bytes;
  }
}

void Population::shuffle(Rng& rng) {
  const std::span<Block> live = blocks();
  for (std::size_t i = live.size(); i > 1; --i) {
    std::swap(live[i - 1], live[rng.below(i)]);
  }
}

void Population::free_down_to(std::size_t keep) {
  const std::span<Block> live = blocks();
  while (count_ > keep) {
    const Block& block = live[--count_];
    live_bytes_ -= block.bytes;
    std::free(block.data);
  }
}

std::uint64_t Population::pages_held() const {
  struct Run {  // pages [first, end)
    std::uintptr_t first;
    std::uintptr_t end;
  };
  MappedArray<Run> array(count_ + 1);
  const std::span<Run> runs = array.all().first(count_);
  const std::span<const Block> live = const_cast<Population*>(this)->blocks();
  std::transform(live.begin(), live.end(), runs.begin(), [](const Block& block) {
    const auto start = reinterpret_cast<std::uintptr_t>(block.data);
    return Run{start / bench::kOsPageBytes, (start + block.bytes - 1) / bench::kOsPageBytes + 1};
  });
  std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.first < b.first; });
  std::uint64_t held = 0;
  std::uintptr_t counted_to = 0;  // every page below is counted
  for (const Run& run : runs) {
    const std::uintptr_t first = std::max(run.first, counted_to);
    if (first < run.end) {
      held += run.end - first;
      counted_to = run.end;
    }
  }
  return held;
}

std::uint64_t Population::drop_all() {
  std::uint64_t sum = 0;
  for (Block& block : blocks()) {
    sum += bench::drop_block(block);
  }
  count_ = 0;
  live_bytes_ = 0;
  return sum;
}

}  // namespace resident
