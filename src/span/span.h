// A span: a run of pages with one purpose, either objects of one size class or one large object.
// All that is known of its objects lies here, apart from the memory that the program sees: a byte
// an object, behind the span itself. (A byte, not a bit, so that the thread that owns an object
// changes its state by a plain store: neighbours' states share no word with it.)
//
//   | lead, of list and page heap | of free  state of object 0 | ... 39 | state of object 40 ...
//   ^ cache line                  ^ cache line                          ^ cache line
//
// free needs a few words of the span and the object's state. Both lie in one line for the first 40
// objects, which is all of most classes from 208 bytes up.
//
// States:    free ---refill---> cached ---malloc---> live
//              ^------flush------'  ^-----free--------'
// A free or cached object may be known to read as zero; a live one never is. An object of a
// sub-heap (heap/sub_heap.h) goes from cached to live and back under another value of live, so that
// what only looks for kLive leaves it alone.
//
// Thread safety: an object's state belongs to the list that has it: free -> the central list's
// lock, cached -> the owner of the thread cache, live -> whoever calls free. What free reads is
// constant from creation to destruction; the fields above it belong to the lock of the span's
// central list (small) or of the page heap (large). Readers in other processes read all of it at
// any time.
//
// Invariants:
//  1. base is a multiple of the page size; the span covers [base, base + pages).
//  2. used = number of states that are not free.
//  3. The byte behind the last object's state is 0, so a tail address is never live.
//  4. A unit (4 KiB of the span) in `purged` overlaps no taken object and was not written since it
//     was last given back to the OS, or ever.
//
// Lifetime: from the metadata pool, made and destroyed under the page heap's lock. Its memory stays
// span memory, so that a stale lookup reads a span, if another one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bits.h"
#include "base/units.h"
#include "span/size_class.h"

namespace ream {

// Values of a state byte. Bit 0: taken (cached or live). Bit 1: live. Bit 2: known to read as zero.
// Bit 3: live, and of a sub-heap.
enum ObjectState : std::uint8_t {
  kFree = 0,
  kCached = 1,
  kLive = 3,
  kFreeZero = 4,
  kCachedZero = 5,
  kLiveOwned = 11,
};

inline constexpr std::uint8_t kTakenBit = 1;
inline constexpr std::uint8_t kZeroBit = 4;
inline constexpr std::uint8_t kOwnedBit = 8;

[[nodiscard]] constexpr bool is_live(std::uint8_t state) noexcept {
  return (state & ~kOwnedBit) == kLive;
}

// In Span::shard: the span belongs to a sub-heap; the other bits are a shard of that.
inline constexpr std::uint8_t kOwnedShards = 0x80;

struct Span {
  std::uint16_t used;   // objects not free (invariant 2)
  std::uint16_t hint;   // no free object lies below it
  std::uint8_t bucket;  // which list of the central list links it
  bool moved;           // large: its pages came by os::move_pages
  bool touched;         // small: objects were taken or given since the last look
  bool was_purged;      // small: it has had purged units that were not new
  Span* next;           // list links, null at the ends
  Span* prev;
  std::uint64_t requested_bytes;  // large: what the program asked for; small: owner(), constant
  std::uint64_t purged;  // small: bit i = unit i holds no data (invariant 4); large: owner()

  // What free reads, in one cache line with the first states.
  std::uint64_t base;          // address of the first page
  std::uint32_t reciprocal;    // of object_bytes; 0 for a large object, which makes every index 0
  std::uint32_t object_bytes;  // 0 for a large object
  std::uint32_t pages;
  std::uint16_t objects;
  ClassIndex size_class;
  std::uint8_t shard;  // which central list of the class owns it

  [[nodiscard]] std::uint8_t* states() noexcept {
    return reinterpret_cast<std::uint8_t*>(this + 1);
  }
  [[nodiscard]] const std::uint8_t* states() const noexcept {
    return reinterpret_cast<const std::uint8_t*>(this + 1);
  }

  [[nodiscard]] std::uint64_t bytes() const noexcept { return std::uint64_t{pages} << kPageShift; }
  [[nodiscard]] bool is_large() const noexcept { return size_class == kLargeClass; }
  [[nodiscard]] bool contains(std::uint64_t address) const noexcept {
    return address - base < bytes();
  }

  // The sub-heap that it belongs to, or null; constant. In the word that spans of its kind do not
  // use for anything else.
  [[nodiscard]] bool is_owned() const noexcept { return (shard & kOwnedShards) != 0; }
  [[nodiscard]] void* owner() const noexcept {
    return Addr(is_large() ? purged : requested_bytes).ptr();
  }
  void set_owner(const void* owner) noexcept {
    (is_large() ? purged : requested_bytes) = Addr(owner).n;
  }

  // The usable size of each of its objects.
  [[nodiscard]] std::uint64_t usable_bytes() const noexcept {
    return is_large() ? bytes() : object_bytes;
  }

  // Index of the object that covers `address`, `objects` for the tail. REQUIRES: contains(address).
  [[nodiscard]] std::uint32_t index_of(std::uint64_t address) const noexcept {
    return is_large() ? 0 : static_cast<std::uint32_t>((address - base) / object_bytes);
  }
  // The object that begins at `address` if one does, else any index up to `objects`. Without a
  // division. REQUIRES: contains(address).
  [[nodiscard]] std::uint32_t index_if_begin(std::uint64_t address) const noexcept {
    return static_cast<std::uint32_t>((address - base) * reciprocal >> 32);
  }
  [[nodiscard]] std::uint64_t object_address(std::uint32_t index) const noexcept {
    return base + std::uint64_t{index} * object_bytes;
  }
};

static_assert(sizeof(Span) == 64);

// How far into its memory, which begins a cache line, a span begins.
inline constexpr std::size_t kSpanLead = 64 - offsetof(Span, base);
// Room for a span with the states of `objects` objects and the zero behind them (invariant 3), up
// to the end of a cache line.
constexpr std::size_t span_metadata_bytes(std::size_t objects) noexcept {
  return round_up(kSpanLead + sizeof(Span) + objects + 1, 64) - kSpanLead;
}

// State bytes are read and written by single plain accesses.
inline std::uint8_t load_state(const std::uint8_t& state) noexcept {
  return __atomic_load_n(&state, __ATOMIC_RELAXED);
}
inline void store_state(std::uint8_t& state, std::uint8_t value) noexcept {
  __atomic_store_n(&state, value, __ATOMIC_RELAXED);
}

// Fills in a new span over [base, base + pages) with all its objects free.
void init_small_span(Span& span, Addr base, ClassIndex c, std::uint8_t shard, bool zero) noexcept;
void init_large_span(Span& span, Addr base, Pages pages, Bytes requested) noexcept;

// One object of a span, taken out of it.
struct Taken {
  void* object;
  std::uint8_t* state;
};

// Takes up to `max` free objects, lowest first, marks them cached and writes them to `out`. Returns
// how many. REQUIRES: the lock of the span's central list.
std::uint32_t take_objects(Span& span, Taken* out, std::uint32_t max) noexcept;

// Units of a small span that overlap no taken object and are not purged: what may be given back to
// the OS. REQUIRES: the lock of the span's central list, as for the two functions below.
inline constexpr unsigned kUnitShift = 12;
[[nodiscard]] std::uint64_t purgeable_units(const Span& span) noexcept;

// Bytes of a small span's purged units. REQUIRES: as above.
[[nodiscard]] inline Bytes unused_inside(const Span& span) noexcept {
  return Bytes(std::uint64_t{count_bits(span.purged)} << kUnitShift);
}

// Notes that units were given back to the OS; free objects within purged units now read as zero.
void mark_purged(Span& span, std::uint64_t units) noexcept;

// Gives cached objects back: the first of the `count` in `batch` and those after it while they
// belong to the span and are taken. Returns how many. REQUIRES: the lock of the span's central
// list.
std::uint32_t give_objects(Span& span, const Taken* batch, std::uint32_t count) noexcept;

// Invariants 1 to 3, by a walk over the states.
[[nodiscard]] bool is_valid(const Span& span) noexcept;

}  // namespace ream
