// Kernels for x86-64 with AVX2, and with AVX-512.
//
// AVX-512 is taken only where it comes with VBMI2 (Ice Lake, Zen 4 and later): it is needed, and
// earlier processors slow down for a while after a 512-bit instruction.
//
// Where a register of all ones is needed it is made from a value at hand or loaded: compilers make
// it by vpternlog, which processors take to depend on what the register held before, so that calls
// that have nothing to do with each other would wait for each other.
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include "page/chunk_bits.h"
#include "page/chunk_find.h"
#include "page/chunk_summary.h"
#include "page/kernels.h"

// With std::countr_zero and the like in one instruction.
#define REAM_AVX2 [[gnu::target("avx2,bmi,bmi2,lzcnt,popcnt")]]
#define REAM_AVX512                                                             \
  [[gnu::target(                                                                \
      "avx2,bmi,bmi2,lzcnt,popcnt,avx512f,avx512cd,avx512bw,avx512dq,avx512vl," \
      "avx512vbmi2,avx512vpopcntdq")]]

namespace ream::page {
namespace {

// ---- What the processor has, and the system saves --------------------------------------------

struct Features {
  bool avx2 = false;
  bool avx512 = false;
};

constexpr bool all_of(std::uint64_t bits, std::uint64_t wanted) noexcept {
  return (bits & wanted) == wanted;
}

// Asks no leaf twice, since a hypervisor may take microseconds for each. Every x86-64 has those
// that are not checked for.
Features features() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  Features has;
  __cpuid(1, a, b, c, d);
  if (!all_of(c, bit_OSXSAVE | bit_AVX | bit_POPCNT)) return has;
  unsigned saved = 0;
  unsigned saved_high = 0;
  asm volatile("xgetbv" : "=a"(saved), "=d"(saved_high) : "c"(0));
  constexpr unsigned kYmm = 0x06;  // SSE and AVX registers
  constexpr unsigned kZmm = 0xe6;  // and masks, and both halves of the 512-bit ones
  if (!all_of(saved, kYmm)) return has;
  __cpuid(0x80000001, a, b, c, d);
  if (!all_of(c, bit_LZCNT) || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return has;
  has.avx2 = all_of(b, bit_AVX2 | bit_BMI | bit_BMI2);
  has.avx512 = has.avx2 && all_of(saved, kZmm) &&
               all_of(b, bit_AVX512F | bit_AVX512CD | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) &&
               all_of(c, bit_AVX512VBMI2 | bit_AVX512VPOPCNTDQ);
  return has;
}

// ---- AVX2: two vectors of four words ---------------------------------------------------------

struct Halves {
  __m256i low;
  __m256i high;
};

REAM_AVX2 REAM_INLINE Halves load(const ChunkBits& bits) noexcept {
  const auto* p = reinterpret_cast<const __m256i*>(bits.data());
  return {_mm256_loadu_si256(p), _mm256_loadu_si256(p + 1)};
}
REAM_AVX2 REAM_INLINE void store(ChunkBits& bits, Halves x) noexcept {
  auto* p = reinterpret_cast<__m256i*>(bits.data());
  _mm256_storeu_si256(p, x.low);
  _mm256_storeu_si256(p + 1, x.high);
}
REAM_AVX2 REAM_INLINE __m256i invert(__m256i x) noexcept {
  return _mm256_xor_si256(x, _mm256_set1_epi64x(-1));
}
REAM_AVX2 REAM_INLINE __m128i count(unsigned n) noexcept {
  return _mm_cvtsi32_si128(static_cast<int>(n));
}
// The words, from the first, that are not zero.
REAM_AVX2 REAM_INLINE unsigned nonzero(Halves x) noexcept {
  const __m256i zero = _mm256_setzero_si256();
  const auto low = static_cast<unsigned>(
      _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(x.low, zero))));
  const auto high = static_cast<unsigned>(
      _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(x.high, zero))));
  return (low | high << 4) ^ 0xff;
}
REAM_AVX2 REAM_INLINE Halves shorten(Halves x, unsigned by) noexcept {
  return {_mm256_and_si256(x.low, _mm256_srl_epi64(x.low, count(by))),
          _mm256_and_si256(x.high, _mm256_srl_epi64(x.high, count(by)))};
}

REAM_AVX2 REAM_INLINE unsigned longest_in_words(Halves used, unsigned longest,
                                                unsigned at_most) noexcept {
  Halves free = {invert(used.low), invert(used.high)};
  unsigned left = longest;
  for (unsigned step = 1; left > step; step *= 2) {
    free = shorten(free, step);
    left -= step;
  }
  free = shorten(free, left);
  while (longest < at_most) {
    const __m256i any = _mm256_or_si256(free.low, free.high);
    if (_mm256_testz_si256(any, any) != 0) break;
    free = shorten(free, 1);
    ++longest;
  }
  return longest;
}

// Bits from `i` on of four words of which the first has the bits from `base` on.
REAM_AVX2 REAM_INLINE __m256i bits_from(unsigned i, __m256i bases) noexcept {
  const __m256i at = _mm256_set1_epi64x(i);
  const __m256i shift = _mm256_max_epi32(_mm256_sub_epi32(at, bases), _mm256_setzero_si256());
  return _mm256_sllv_epi64(_mm256_set1_epi64x(-1), shift);
}
REAM_AVX2 REAM_INLINE Halves range_mask(unsigned i, unsigned n) noexcept {
  const __m256i low = _mm256_setr_epi64x(0, 64, 128, 192);
  const __m256i high = _mm256_setr_epi64x(256, 320, 384, 448);
  return {_mm256_andnot_si256(bits_from(i + n, low), bits_from(i, low)),
          _mm256_andnot_si256(bits_from(i + n, high), bits_from(i, high))};
}

// Free pages at the low and at the high end of a chunk whose words with pages in use are `words`.
struct Ends {
  unsigned start;
  unsigned end;
};
REAM_INLINE Ends free_at_ends(const ChunkBits& used, unsigned words) noexcept {
  const auto first = static_cast<unsigned>(std::countr_zero(words));
  const auto last = static_cast<unsigned>(std::bit_width(words)) - 1;
  return {
      first * kWordPages + static_cast<unsigned>(std::countr_zero(used[first])),
      (kChunkWords - 1 - last) * kWordPages + static_cast<unsigned>(std::countl_zero(used[last]))};
}

struct Avx2 {
  static bool can_run() noexcept { return features().avx2; }

  REAM_AVX2 static unsigned longest_run(const ChunkBits& used, unsigned at_least,
                                        unsigned at_most) noexcept {
    const unsigned longest = longest_across_words(used, at_least);
    if (longest >= std::min(at_most, kLongestInWord)) return longest;
    return longest_in_words(load(used), longest, at_most);
  }

  REAM_AVX2 static Summary summarize(const ChunkBits& used) noexcept {
    const Halves x = load(used);
    const unsigned words = nonzero(x);
    if (words == 0) return Summary::of_all_free(kLogChunkPages);
    const auto [start, end] = free_at_ends(used, words);
    unsigned longest = longest_across_words(used, start);
    if (longest < kLongestInWord) longest = longest_in_words(x, longest, kChunkPages);
    return Summary::pack(start, longest, end);
  }

  // Each word is shortened together with the word above it. What the upper one lacks of its own
  // upper one does not reach the lower one: a run that begins in a word and is at most 64 long ends
  // in the next.
  REAM_AVX2 static unsigned find_run(const ChunkBits& used, unsigned n, unsigned from) noexcept {
    if (n >= kWordPages) return find_run_by_words(used, n, from);
    const __m256i zero = _mm256_setzero_si256();
    const Halves all = load(used);
    Halves free = {invert(all.low), invert(all.high)};
    Halves above = {invert(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(used.data() + 1))),
                    _mm256_permute4x64_epi64(_mm256_blend_epi32(free.high, zero, 0x03), 0x39)};
    unsigned left = n - 1;
    for (unsigned step = 1; left != 0; step *= 2) {
      const unsigned by = std::min(step, left);
      const __m128i right = count(by);
      const __m128i back = count(kWordPages - by);
      free.low = _mm256_and_si256(free.low, _mm256_or_si256(_mm256_srl_epi64(free.low, right),
                                                            _mm256_sll_epi64(above.low, back)));
      free.high = _mm256_and_si256(free.high, _mm256_or_si256(_mm256_srl_epi64(free.high, right),
                                                              _mm256_sll_epi64(above.high, back)));
      above = shorten(above, by);
      left -= by;
    }
    ChunkBits starts;
    store(starts, free);
    unsigned w = from / kWordPages;
    std::uint64_t x = starts[w] & kAllOnes << (from % kWordPages);
    if (x == 0) {
      const unsigned words = nonzero(free) & ~1u << w;
      if (words == 0) return kNoPage;
      w = static_cast<unsigned>(std::countr_zero(words));
      x = starts[w];
    }
    return w * kWordPages + static_cast<unsigned>(std::countr_zero(x));
  }

  REAM_AVX2 static unsigned popcount_range(const ChunkBits& bits, unsigned i, unsigned n) noexcept {
    return page::popcount_range(bits, i, n);
  }

  REAM_AVX2 static void clear_range(ChunkBits& bits, unsigned i, unsigned n) noexcept {
    const Halves mask = range_mask(i, n);
    const Halves x = load(bits);
    store(bits, {_mm256_andnot_si256(mask.low, x.low), _mm256_andnot_si256(mask.high, x.high)});
  }

  REAM_AVX2 static unsigned take_range(ChunkBits& used, ChunkBits& backed, unsigned i,
                                       unsigned n) noexcept {
    const Halves mask = range_mask(i, n);
    const Halves u = load(used);
    store(used, {_mm256_or_si256(u.low, mask.low), _mm256_or_si256(u.high, mask.high)});
    const Halves b = load(backed);
    const int all = _mm256_testc_si256(b.low, mask.low) & _mm256_testc_si256(b.high, mask.high);
    if (all != 0) return 0;
    const unsigned scavenged = n - page::popcount_range(backed, i, n);
    store(backed, {_mm256_or_si256(b.low, mask.low), _mm256_or_si256(b.high, mask.high)});
    return scavenged;
  }
};

constexpr Kernels kAvx2 = kernels_of<Avx2>("AVX2");

// ---- AVX-512: the chunk in one vector --------------------------------------------------------

REAM_AVX512 REAM_INLINE __m512i load_chunk(const ChunkBits& bits) noexcept {
  return _mm512_loadu_si512(bits.data());
}
REAM_AVX512 REAM_INLINE __m512i invert(__m512i x) noexcept {
  return _mm512_ternarylogic_epi64(x, x, x, 0x55);
}
REAM_AVX512 REAM_INLINE unsigned nonzero(__m512i x) noexcept {
  return _mm512_test_epi64_mask(x, x);
}
// The number of the first bit of each word.
REAM_AVX512 REAM_INLINE __m512i word_bases() noexcept {
  return _mm512_setr_epi64(0, 64, 128, 192, 256, 320, 384, 448);
}
// x with its bits below `i` clear.
REAM_AVX512 REAM_INLINE __m512i keep_from(__m512i x, unsigned i) noexcept {
  const __m512i shift = _mm512_max_epi64(_mm512_sub_epi64(_mm512_set1_epi64(i), word_bases()),
                                         _mm512_setzero_si512());
  return _mm512_sllv_epi64(_mm512_srlv_epi64(x, shift), shift);
}
REAM_AVX512 REAM_INLINE unsigned popcount(__m512i x) noexcept {
  const __m128i words = _mm512_cvtepi64_epi8(_mm512_popcnt_epi64(x));
  return static_cast<unsigned>(_mm_cvtsi128_si32(_mm_sad_epu8(words, _mm_setzero_si128())));
}
REAM_AVX512 REAM_INLINE __m512i chunk_mask(unsigned i, unsigned n) noexcept {
  const __m512i ones = invert(_mm512_setzero_si512());
  return _mm512_andnot_si512(keep_from(ones, i + n), keep_from(ones, i));
}

// The free runs that touch an end of a word, the lowest first: each begins after the highest page
// in use of a word (or with the chunk) and ends before the lowest page in use of the next word that
// has one (or with the chunk). At most eight; the run at the chunk's end is missing when no word is
// all free. Unused lanes are empty runs.
struct BorderRuns {
  __m128i before;  // the page below the run, -1 for the chunk's first
  __m128i limit;
};

REAM_AVX512 REAM_INLINE BorderRuns border_runs(__m512i used) noexcept {
  const auto words = static_cast<__mmask8>(nonzero(used));
  const __m512i last = _mm512_setr_epi64(63, 127, 191, 255, 319, 383, 447, 511);
  const __m512i lowest = _mm512_and_si512(used, _mm512_sub_epi64(_mm512_setzero_si512(), used));
  const __m128i low = _mm512_cvtepi64_epi16(_mm512_sub_epi64(last, _mm512_lzcnt_epi64(lowest)));
  const __m128i high = _mm512_cvtepi64_epi16(_mm512_sub_epi64(last, _mm512_lzcnt_epi64(used)));
  const __m128i limit = _mm_mask_compress_epi16(_mm_set1_epi16(512), words, low);
  const __m128i after = _mm_mask_compress_epi16(_mm_set1_epi16(511), words, high);
  return {_mm_or_si128(_mm_slli_si128(after, 2), _mm_setr_epi16(-1, 0, 0, 0, 0, 0, 0, 0)), limit};
}

REAM_AVX512 REAM_INLINE unsigned longest_across_words(const ChunkBits& used, __m512i x) noexcept {
  const BorderRuns runs = border_runs(x);
  // before - limit is the complement of a run's length.
  const __m128i least = _mm_minpos_epu16(_mm_sub_epi16(runs.before, runs.limit));
  const unsigned longest = ~static_cast<unsigned>(_mm_cvtsi128_si32(least)) & 0xffff;
  return std::max(longest, static_cast<unsigned>(std::countl_zero(used[kChunkWords - 1])));
}

REAM_AVX512 REAM_INLINE unsigned longest_in_words(__m512i used, unsigned longest,
                                                  unsigned at_most) noexcept {
  __m512i free = invert(used);
  unsigned left = longest;
  for (unsigned step = 1; left > step; step *= 2) {
    free = _mm512_and_si512(free, _mm512_srl_epi64(free, count(step)));
    left -= step;
  }
  free = _mm512_and_si512(free, _mm512_srl_epi64(free, count(left)));
  while (longest < at_most && nonzero(free) != 0) {
    free = _mm512_and_si512(free, _mm512_srli_epi64(free, 1));
    ++longest;
  }
  return longest;
}

// The words of x next above its own.
REAM_AVX512 REAM_INLINE __m512i words_above(__m512i x) noexcept {
  return _mm512_alignr_epi64(_mm512_setzero_si512(), x, 1);
}
// Runs of ones in the whole chunk, shortened at their tops. REQUIRES: by < 64.
template <unsigned kBy>
REAM_AVX512 REAM_INLINE __m512i shorten(__m512i x) noexcept {
  return _mm512_and_si512(x, _mm512_shrdi_epi64(x, words_above(x), kBy));
}
template <unsigned kBy>
REAM_AVX512 REAM_INLINE void shorten_if_more(__m512i& x, unsigned& left) noexcept {
  if (left <= kBy) return;
  x = shorten<kBy>(x);
  left -= kBy;
}
REAM_AVX512 REAM_INLINE __m512i shorten(__m512i x, unsigned by) noexcept {
  const __m512i below = _mm512_shrdv_epi64(x, words_above(x), _mm512_set1_epi64(by));
  return _mm512_and_si512(x, below);
}

struct Avx512 {
  static bool can_run() noexcept { return features().avx512; }

  REAM_AVX512 static unsigned longest_run(const ChunkBits& used, unsigned at_least,
                                          unsigned at_most) noexcept {
    const __m512i x = load_chunk(used);
    const unsigned longest = std::max(at_least, longest_across_words(used, x));
    if (longest >= std::min(at_most, kLongestInWord)) return longest;
    return longest_in_words(x, longest, at_most);
  }

  REAM_AVX512 static Summary summarize(const ChunkBits& used) noexcept {
    const __m512i x = load_chunk(used);
    const unsigned words = nonzero(x);
    if (words == 0) return Summary::of_all_free(kLogChunkPages);
    const auto [start, end] = free_at_ends(used, words);
    unsigned longest = longest_across_words(used, x);
    if (longest < kLongestInWord) longest = longest_in_words(x, longest, kChunkPages);
    return Summary::pack(start, longest, end);
  }

  REAM_AVX512 static unsigned find_run(const ChunkBits& used, unsigned n, unsigned from) noexcept {
    __m512i free = keep_from(invert(load_chunk(used)), from);
    if (n >= kWordPages) {
      const BorderRuns runs = border_runs(invert(free));
      const __mmask8 fits = _mm_cmpgt_epi16_mask(_mm_sub_epi16(runs.limit, runs.before),
                                                 _mm_set1_epi16(static_cast<short>(n)));
      if (fits != 0) {
        const __m128i before = _mm_maskz_compress_epi16(fits, runs.before);
        return static_cast<unsigned>(_mm_cvtsi128_si32(before) + 1) & 0xffff;
      }
      return kNoPage;
    }
    // As starts_of_runs(), with the steps written out: shifts by constants are cheaper.
    unsigned left = n - 1;
    shorten_if_more<1>(free, left);
    shorten_if_more<2>(free, left);
    shorten_if_more<4>(free, left);
    shorten_if_more<8>(free, left);
    shorten_if_more<16>(free, left);
    free = shorten(free, left);
    const unsigned words = nonzero(free);
    if (words == 0) return kNoPage;
    const __m512i first = _mm512_maskz_compress_epi64(static_cast<__mmask8>(words), free);
    const auto starts =
        static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm512_castsi512_si128(first)));
    return static_cast<unsigned>(std::countr_zero(words)) * kWordPages +
           static_cast<unsigned>(std::countr_zero(starts));
  }

  REAM_AVX512 static unsigned popcount_range(const ChunkBits& bits, unsigned i,
                                             unsigned n) noexcept {
    return popcount(_mm512_and_si512(load_chunk(bits), chunk_mask(i, n)));
  }

  REAM_AVX512 static void clear_range(ChunkBits& bits, unsigned i, unsigned n) noexcept {
    _mm512_storeu_si512(bits.data(), _mm512_andnot_si512(chunk_mask(i, n), load_chunk(bits)));
  }

  REAM_AVX512 static unsigned take_range(ChunkBits& used, ChunkBits& backed, unsigned i,
                                         unsigned n) noexcept {
    const __m512i mask = chunk_mask(i, n);
    _mm512_storeu_si512(used.data(), _mm512_or_si512(load_chunk(used), mask));
    const __m512i before = load_chunk(backed);
    const __m512i missing = _mm512_andnot_si512(before, mask);
    if (nonzero(missing) == 0) return 0;
    _mm512_storeu_si512(backed.data(), _mm512_or_si512(before, mask));
    return popcount(missing);
  }
};

constexpr Kernels kAvx512 = kernels_of<Avx512>("AVX-512");

}  // namespace

std::span<const Kernels* const> kernel_sets() noexcept {
  static constexpr const Kernels* kSets[] = {&kAvx512, &kAvx2, &kPortableKernels};
  return kSets;
}

}  // namespace ream::page
