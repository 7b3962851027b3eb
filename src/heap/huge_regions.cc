#include "heap/huge_regions.h"

#include "heap/page_units.h"

namespace ream {
namespace {

using Region = HugeRegions::Region;

// | age:10 | refusals:3 | backed | closed | open |
constexpr std::uint16_t pack(Region r) noexcept {
  return static_cast<std::uint16_t>(unsigned{r.open} | unsigned{r.closed} << 1 |
                                    unsigned{r.backed} << 2 | r.refusals << 3 | r.age << 6);
}

constexpr Region unpack(std::uint16_t x) noexcept {
  return {.open = (x & 1) != 0,
          .closed = (x & 2) != 0,
          .backed = (x & 4) != 0,
          .refusals = x >> 3 & Region::kMostRefusals,
          .age = unsigned{x} >> 6};
}

static_assert(unpack(0) == Region{});
static_assert(unpack(pack({true, false, true, 5, 1023})) == Region{true, false, true, 5, 1023});

}  // namespace

bool HugeRegions::cover(Addr address) noexcept {
  std::atomic<Packed*>& table = tables_[address.n >> kWindowLog];
  if (table.load(std::memory_order_relaxed) != nullptr) return true;
  constexpr Bytes kTableBytes{sizeof(Packed) << (kWindowLog - kLogBytes)};
  void* const made = map_metadata(kTableBytes);
  table.store(static_cast<Packed*>(made), std::memory_order_release);
  return made != nullptr;
}

HugeRegions::Region HugeRegions::get(Addr address) const noexcept {
  Packed* const table = tables_[address.n >> kWindowLog].load(std::memory_order_acquire);
  if (table == nullptr) return {};
  return unpack(std::atomic_ref<Packed>(table[index_of(address)]).load(std::memory_order_relaxed));
}

void HugeRegions::set(Addr address, Region region) noexcept {
  Packed* const table = tables_[address.n >> kWindowLog].load(std::memory_order_relaxed);
  std::atomic_ref<Packed>(table[index_of(address)]).store(pack(region), std::memory_order_relaxed);
}

}  // namespace ream
