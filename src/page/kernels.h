// What is done to all 512 bits of a chunk, by the widest vectors that the machine has.
//
// A set of kernels is one such variant. The file of the architecture (kernels_x86.cc, or
// kernels_other.cc) lists the sets that exist, and select_kernels() takes the first that this
// machine can run. Until then, and where there is nothing better, the portable ones serve: plain
// C++ with vectors of two words, which are SSE2 on x86-64 and NEON on arm64. Work inside one word
// stays with the inline functions of chunk_bits.h and chunk_find.h: it costs less than the call.
//
// There is no IFUNC here: a preloaded malloc is called while others are being relocated. The choice
// is a pointer to a constant table, right from the first instruction on; a PageAlloc chooses when
// it grows beyond its first chunk.
//
// Thread safety: any. All sets compute the same, so the choice may change under a reader, and
// threads that choose at once choose the same.
#pragma once

#include <atomic>
#include <span>

#include "page/chunk_bits.h"
#include "page/summary.h"

namespace ream::page {

struct Kernels {
  const char* name;
  // Whether this machine can run the others. Asks the processor: 10 us where a hypervisor answers.
  bool (*can_run)() noexcept;

  // The summary of a chunk where bits set are pages in use.
  Summary (*summarize)(const ChunkBits& used) noexcept;
  // The longest run of free pages in a chunk where it is known to be in [at_least, at_most].
  unsigned (*longest_run)(const ChunkBits& used, unsigned at_least, unsigned at_most) noexcept;
  // Lowest run of n free pages that begins at or above `from`, or kNoPage. REQUIRES: n > 1, from <
  // 512.
  unsigned (*find_run)(const ChunkBits& used, unsigned n, unsigned from) noexcept;

  // On the bits [i, i + n). REQUIRES: n > 0, i + n <= 512.
  unsigned (*popcount_range)(const ChunkBits& bits, unsigned i, unsigned n) noexcept;
  void (*clear_range)(ChunkBits& bits, unsigned i, unsigned n) noexcept;
  // Sets them in both, and returns how many were clear in `backed`.
  unsigned (*take_range)(ChunkBits& used, ChunkBits& backed, unsigned i, unsigned n) noexcept;
};

// The table of a class whose static functions bear the names above.
template <class Set>
constexpr Kernels kernels_of(const char* name) noexcept {
  return {name,          Set::can_run,        Set::summarize,   Set::longest_run,
          Set::find_run, Set::popcount_range, Set::clear_range, Set::take_range};
}

extern const Kernels kPortableKernels;

// All sets of this architecture, the best first, the portable one last.
std::span<const Kernels* const> kernel_sets() noexcept;

namespace internal {
extern constinit std::atomic<const Kernels*> chosen_kernels;
}

// Chooses for this machine. Without effect once something better than the portable set is chosen.
void select_kernels() noexcept;

inline const Kernels& kernels() noexcept {
  return *internal::chosen_kernels.load(std::memory_order_relaxed);
}

}  // namespace ream::page
