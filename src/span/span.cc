#include "span/span.h"

#include <cstring>

namespace ream {
namespace {

constexpr std::uint64_t kTakenInEveryByte = 0x0101010101010101;

// Eight states at once, as an integer whose lowest byte is the first.
std::uint64_t load_states(const std::uint8_t* states) noexcept {
  const std::uint64_t word =
      __atomic_load_n(reinterpret_cast<const std::uint64_t*>(states), __ATOMIC_RELAXED);
  if constexpr (std::endian::native == std::endian::big) return __builtin_bswap64(word);
  return word;
}

}  // namespace

void init_small_span(Span& span, Addr base, ClassIndex c, std::uint8_t shard, bool zero) noexcept {
  const SizeClass& k = kSizeClasses[c];
  span = Span{};
  span.base = base.n;
  span.reciprocal = k.reciprocal;
  span.object_bytes = k.object_bytes;
  span.pages = k.span_pages;
  span.objects = static_cast<std::uint16_t>(k.objects);
  span.size_class = c;
  span.shard = shard;
  std::memset(span.states(), kFree, span_metadata_bytes(k.objects) - sizeof(Span));
  if (zero) std::memset(span.states(), kFreeZero, k.objects);
}

void init_large_span(Span& span, Addr base, Pages pages, Bytes requested) noexcept {
  span = Span{};
  span.base = base.n;
  span.pages = static_cast<std::uint32_t>(pages.n);
  span.objects = 1;
  span.used = 1;
  span.requested_bytes = requested.n;
  std::memset(span.states(), kFree, span_metadata_bytes(1) - sizeof(Span));
  store_state(span.states()[0], kLive);
}

std::uint32_t take_objects(Span& span, Taken* out, std::uint32_t max) noexcept {
  std::uint8_t* const states = span.states();
  const std::uint32_t objects = span.objects;
  std::uint32_t taken = 0;
  std::uint32_t word_begin = span.hint & ~7u;
  while (taken < max && word_begin < objects) {
    std::uint64_t free = ~load_states(states + word_begin) & kTakenInEveryByte;
    while (free != 0 && taken < max) {
      const std::uint32_t index =
          word_begin + static_cast<std::uint32_t>(std::countr_zero(free)) / 8;
      if (index >= objects) break;  // the zeros behind the last state
      free &= free - 1;
      store_state(states[index], load_state(states[index]) | kTakenBit);
      out[taken++] = {Addr(span.object_address(index)).ptr(), states + index};
    }
    if (taken < max) word_begin += 8;
  }
  span.hint = static_cast<std::uint16_t>(word_begin);
  span.used = static_cast<std::uint16_t>(span.used + taken);
  return taken;
}

bool give_object(Span& span, std::uint8_t* state) noexcept {
  const std::uint8_t before = load_state(*state);
  if ((before & kTakenBit) == 0) return false;
  store_state(*state, before == kCachedZero ? kFreeZero : kFree);
  const auto index = static_cast<std::uint16_t>(state - span.states());
  if (index < span.hint) span.hint = index;
  --span.used;
  return true;
}

bool is_valid(const Span& span) noexcept {
  if (!is_aligned(span.base, kPageBytes) || span.pages == 0) return false;  // 1
  std::uint32_t used = 0;
  for (std::uint32_t i = 0; i < span.objects; ++i) {
    if ((load_state(span.states()[i]) & kTakenBit) != 0) ++used;
  }
  return used == span.used                                // 2
         && load_state(span.states()[span.objects]) == 0  // 3
         && (span.is_large() || span.objects == kSizeClasses[span.size_class].objects);
}

}  // namespace ream
