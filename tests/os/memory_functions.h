// The functions of os/memory.h as values, so that one test runs against several implementations.
#pragma once

#include "os/fake_os.h"
#include "os/memory.h"

namespace ream::os {

struct MemoryFunctions {
  const char* name;
  Bytes (*os_page_size)() noexcept;
  Addr (*reserve)(Bytes, Bytes) noexcept;
  bool (*commit)(Addr, Bytes) noexcept;
  bool (*renew)(Addr, Bytes) noexcept;
  bool (*decommit)(Addr, Bytes) noexcept;
  bool (*release)(Addr, Bytes) noexcept;
  Addr (*map_at)(Addr, Bytes) noexcept;
  Addr (*map_anywhere)(Bytes, Bytes) noexcept;
  bool (*protect)(Addr, Bytes, Protection) noexcept;
  bool (*purge)(Addr, Bytes) noexcept;
  bool (*purge_lazy)(Addr, Bytes) noexcept;
  std::size_t (*purge_batch)(const MemoryRange*, std::size_t) noexcept;
  Bytes (*resident_bytes)(Addr, Bytes) noexcept;
  Bytes (*huge_page_size)() noexcept;
  bool (*advise_huge)(Addr, Bytes, bool) noexcept;
  bool (*collapse_huge)(Addr, Bytes) noexcept;
  bool (*move_pages)(Addr, Addr, Bytes) noexcept;
  Addr (*find_unmapped)(Bytes, Bytes, Addr) noexcept;
  Addr (*user_address_limit)() noexcept;
  Bytes fake_page_size;  // 0: the real OS
};

inline constexpr MemoryFunctions kRealMemory = {
    "real",      os_page_size,  reserve,     commit,         renew,
    decommit,    release,       map_at,      map_anywhere,   protect,
    purge,       purge_lazy,    purge_batch, resident_bytes, huge_page_size,
    advise_huge, collapse_huge, move_pages,  find_unmapped,  user_address_limit,
    Bytes()};

constexpr MemoryFunctions fake_memory(const char* name, Bytes page_size) {
  namespace f = fake_os;
  return {
      name,           f::os_page_size,  f::reserve,     f::commit,         f::renew,
      f::decommit,    f::release,       f::map_at,      f::map_anywhere,   f::protect,
      f::purge,       f::purge_lazy,    f::purge_batch, f::resident_bytes, f::huge_page_size,
      f::advise_huge, f::collapse_huge, f::move_pages,  f::find_unmapped,  f::user_address_limit,
      page_size};
}

}  // namespace ream::os
