// Kernels in plain C++. Runs inside words are looked for in all words at once, two in a vector.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "page/chunk_bits.h"
#include "page/chunk_find.h"
#include "page/chunk_summary.h"
#include "page/kernels.h"

namespace ream::page {
namespace {

// A vector of the compiler's: SSE2, NEON, or two words where a machine has no vectors.
using TwoWords [[gnu::vector_size(16)]] = std::uint64_t;
constexpr unsigned kVectors = kChunkPages / 128;

struct Words {
  TwoWords at[kVectors];

  // Keeps of every run of ones what is left when `by` are cut off its top.
  void shorten(unsigned by) noexcept {
    for (TwoWords& x : at) x &= x >> by;
  }
  [[nodiscard]] bool any() const noexcept {
    TwoWords all{};
    for (const TwoWords& x : at) all |= x;
    return (all[0] | all[1]) != 0;
  }
};

// Longest run of free pages inside a word that is longer than `longest`, or `longest`; known not to
// exceed at_most. REQUIRES: longest < 64.
REAM_INLINE unsigned longest_in_words(const ChunkBits& used, unsigned longest,
                                      unsigned at_most) noexcept {
  Words free;
  std::memcpy(&free, used.data(), sizeof free);
  for (TwoWords& x : free.at) x = ~x;
  unsigned left = longest;
  for (unsigned step = 1; left > step; step *= 2) {
    free.shorten(step);
    left -= step;
  }
  free.shorten(left);
  while (longest < at_most && free.any()) {
    free.shorten(1);
    ++longest;
  }
  return longest;
}

struct Portable {
  static bool can_run() noexcept { return true; }

  static unsigned longest_run(const ChunkBits& used, unsigned at_least, unsigned at_most) noexcept {
    const unsigned longest = longest_across_words(used, at_least);
    if (longest >= std::min(at_most, kLongestInWord)) return longest;
    return longest_in_words(used, longest, at_most);
  }

  static Summary summarize(const ChunkBits& used) noexcept {
    const unsigned start = clear_above(used, 0);
    if (start == kChunkPages) return Summary::of_all_free(kLogChunkPages);
    return Summary::pack(start, longest_run(used, start, kChunkPages),
                         clear_below(used, kChunkPages));
  }

  static unsigned find_run(const ChunkBits& used, unsigned n, unsigned from) noexcept {
    return find_run_by_words(used, n, from);
  }
  static unsigned popcount_range(const ChunkBits& bits, unsigned i, unsigned n) noexcept {
    return page::popcount_range(bits, i, n);
  }
  static void clear_range(ChunkBits& bits, unsigned i, unsigned n) noexcept {
    page::clear_range(bits, i, n);
  }
  static unsigned take_range(ChunkBits& used, ChunkBits& backed, unsigned i, unsigned n) noexcept {
    return page::take_range(used, backed, i, n);
  }
};

}  // namespace

constinit const Kernels kPortableKernels = kernels_of<Portable>("portable");

}  // namespace ream::page
