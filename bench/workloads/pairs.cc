// Pairs: malloc at once followed by free of the same size, again and again.
//
// The shortest path an allocator has. The first word is written, as a program would, so memory
// given back to the kernel between two pairs costs its page fault here.

#include <array>

#include "support.h"

namespace bench {
namespace {

using Malloc = void* (*)(std::size_t);
using Free = void (*)(void*);

alignas(16) constinit std::array<std::uint64_t, 2> no_memory{};

[[gnu::noinline]] void* malloc_nothing(std::size_t bytes) {
  asm volatile("" : : "g"(bytes));
  return no_memory.data();
}

[[gnu::noinline]] void free_nothing(void* p) { escape(p); }

// The functions are template arguments, not variables: the loop calls them as a program calls
// malloc, and the loop around the empty ones is the same machine code.
template <Malloc kMalloc, Free kFree>
[[gnu::noinline]] std::uint64_t loop(std::size_t bytes, std::uint64_t count) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    auto* const p = static_cast<std::uint64_t*>(kMalloc(bytes));
    if (p == nullptr) [[unlikely]] {
      die("out of memory");
    }
    *p = i;
    escape(p);
    sum += *p;
    kFree(p);
  }
  return sum;
}

template <std::size_t kBytes, std::uint64_t kCount>
Result pair(double scale) {
  return run_pairs(kBytes, scaled(kCount, scale));
}

// Counts fall with size because some allocators unmap large blocks at every free: the slowest then
// takes seconds, and the fastest still tens of milliseconds.
constexpr Workload kPairs[] = {
    {"pair_16", "malloc(16), free", pair<16, 100'000'000>},
    {"pair_1k", "malloc(1 KiB), free", pair<kKiB, 100'000'000>},
    {"pair_8k", "malloc(8 KiB), free", pair<8 * kKiB, 40'000'000>},
    {"pair_32k", "malloc(32 KiB), free", pair<32 * kKiB, 40'000'000>},
    {"pair_128k", "malloc(128 KiB), free", pair<128 * kKiB, 5'000'000>},
    {"pair_1m", "malloc(1 MiB), free", pair<kMiB, 5'000'000>},
    {"pair_8m", "malloc(8 MiB), free", pair<8 * kMiB, 500'000>},
};

}  // namespace

Result run_pairs(std::size_t bytes, std::uint64_t count) {
  const std::uint64_t sum = bytes == 0 ? loop<malloc_nothing, free_nothing>(bytes, count)
                                       : loop<std::malloc, std::free>(bytes, count);
  return {sum, 2 * count};
}

std::span<const Workload> pairs() { return kPairs; }

}  // namespace bench
