#include "span/span.h"

#include <algorithm>
#include <bit>
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

void store_states(std::uint8_t* states, std::uint64_t word) noexcept {
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  __atomic_store_n(reinterpret_cast<std::uint64_t*>(states), word, __ATOMIC_RELAXED);
}

// The units that object `index` overlaps.
std::uint64_t units_of(const Span& span, std::uint32_t index) noexcept {
  const std::uint64_t begin = std::uint64_t{index} * span.object_bytes;
  const auto first = static_cast<unsigned>(begin >> kUnitShift);
  const auto last = static_cast<unsigned>((begin + span.object_bytes - 1) >> kUnitShift);
  return bit_range(first, last - first + 1);
}

std::uint64_t all_units(const Span& span) noexcept {
  return low_mask(span.pages << (kPageShift - kUnitShift));
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
  if (zero) {
    std::memset(span.states(), kFreeZero, k.objects);
    span.purged = all_units(span);
  }
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

// Eight neighbours that are all free are taken at once.
std::uint32_t take_objects(Span& span, Taken* out, std::uint32_t max) noexcept {
  std::uint8_t* const states = span.states();
  const std::uint32_t objects = span.objects;
  std::uint32_t taken = 0;
  std::uint32_t word_begin = span.hint & ~7u;
  while (taken < max && word_begin < objects) {
    const std::uint64_t before = load_states(states + word_begin);
    std::uint64_t free = ~before & kTakenInEveryByte;
    std::uint64_t address = span.object_address(word_begin);
    if (free == kTakenInEveryByte && max - taken >= 8 && objects - word_begin >= 8) {
      store_states(states + word_begin, before | kTakenInEveryByte);
      if (span.purged != 0) {
        for (unsigned i = 0; i < 8; ++i) span.purged &= ~units_of(span, word_begin + i);
      }
      for (unsigned i = 0; i < 8; ++i, address += span.object_bytes) {
        out[taken + i] = {Addr(address).ptr(), states + word_begin + i};
      }
      taken += 8;
      word_begin += 8;
      continue;
    }
    while (free != 0 && taken < max) {
      const std::uint32_t index =
          word_begin + static_cast<std::uint32_t>(std::countr_zero(free)) / 8;
      if (index >= objects) break;  // the zeros behind the last state
      free &= free - 1;
      store_state(states[index], load_state(states[index]) | kTakenBit);
      if (span.purged != 0) span.purged &= ~units_of(span, index);
      out[taken++] = {Addr(span.object_address(index)).ptr(), states + index};
    }
    if (taken < max) word_begin += 8;
  }
  span.hint = static_cast<std::uint16_t>(word_begin);
  span.touched = true;
  span.used = static_cast<std::uint16_t>(span.used + taken);
  return taken;
}

std::uint32_t give_objects(Span& span, const Taken* batch, std::uint32_t count) noexcept {
  std::uint8_t* const states = span.states();
  std::uint64_t lowest = span.hint;
  std::uint32_t given = 0;
  for (; given < count; ++given) {
    std::uint8_t* const state = batch[given].state;
    const std::uint64_t index = Addr(state).n - Addr(states).n;
    if (index >= span.objects) break;
    const std::uint8_t before = load_state(*state);
    if ((before & kTakenBit) == 0) break;
    store_state(*state, before == kCachedZero ? kFreeZero : kFree);
    lowest = std::min(lowest, index);
  }
  if (given == 0) return 0;
  span.hint = static_cast<std::uint16_t>(lowest);
  span.touched = true;
  span.used = static_cast<std::uint16_t>(span.used - given);
  return given;
}

std::uint64_t purgeable_units(const Span& span) noexcept {
  std::uint64_t busy = span.purged;
  for (std::uint32_t word = 0; word < span.objects; word += 8) {
    std::uint64_t taken = load_states(span.states() + word) & kTakenInEveryByte;
    for (; taken != 0; taken &= taken - 1) {
      busy |= units_of(span, word + static_cast<std::uint32_t>(std::countr_zero(taken)) / 8);
    }
  }
  return all_units(span) & ~busy;
}

void mark_purged(Span& span, std::uint64_t units) noexcept {
  span.purged |= units;
  span.was_purged = true;
  for (std::uint32_t i = 0; i < span.objects; ++i) {
    std::uint8_t& state = span.states()[i];
    if (load_state(state) == kFree && (units_of(span, i) & ~span.purged) == 0)
      store_state(state, kFreeZero);
  }
}

bool is_valid(const Span& span) noexcept {
  if (!is_aligned(span.base, kPageBytes) || span.pages == 0) return false;  // 1
  std::uint32_t used = 0;
  for (std::uint32_t i = 0; i < span.objects; ++i) {
    if ((load_state(span.states()[i]) & kTakenBit) == 0) continue;
    ++used;
    if (!span.is_large() && (units_of(span, i) & span.purged) != 0) return false;  // 4
  }
  return used == span.used                                // 2
         && load_state(span.states()[span.objects]) == 0  // 3
         && (span.is_large() || span.objects == kSizeClasses[span.size_class].objects);
}

}  // namespace ream
