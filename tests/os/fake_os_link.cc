// Puts the made-up OS in the place of the real one: linked instead of the real memory and clock
// files, and of the calls about memory nodes.
#include "os/clock.h"
#include "os/fake_os.h"
#include "os/memory.h"
#include "os/numa.h"

namespace ream::os {

Bytes os_page_size() noexcept { return fake_os::os_page_size(); }
Addr reserve(Bytes bytes, Bytes align) noexcept { return fake_os::reserve(bytes, align); }
bool commit(Addr base, Bytes bytes) noexcept { return fake_os::commit(base, bytes); }
bool renew(Addr base, Bytes bytes) noexcept { return fake_os::renew(base, bytes); }
bool decommit(Addr base, Bytes bytes) noexcept { return fake_os::decommit(base, bytes); }
bool release(Addr base, Bytes bytes) noexcept { return fake_os::release(base, bytes); }
Addr map_at(Addr hint, Bytes bytes) noexcept { return fake_os::map_at(hint, bytes); }
Addr map_anywhere(Bytes bytes, Bytes align) noexcept { return fake_os::map_anywhere(bytes, align); }
Addr map_pooled_at(Addr hint, Bytes bytes) noexcept { return fake_os::map_pooled_at(hint, bytes); }
bool protect(Addr base, Bytes bytes, Protection protection) noexcept {
  return fake_os::protect(base, bytes, protection);
}
bool purge(Addr base, Bytes bytes) noexcept { return fake_os::purge(base, bytes); }
bool purge_lazy(Addr base, Bytes bytes) noexcept { return fake_os::purge_lazy(base, bytes); }
std::size_t purge_batch(const MemoryRange* ranges, std::size_t count) noexcept {
  return fake_os::purge_batch(ranges, count);
}
Bytes resident_bytes(Addr base, Bytes bytes) noexcept {
  return fake_os::resident_bytes(base, bytes);
}
Bytes huge_page_size() noexcept { return fake_os::huge_page_size(); }
HugePageRule huge_page_rule() noexcept { return fake_os::huge_page_rule(); }
bool advise_huge(Addr base, Bytes bytes, bool on) noexcept {
  return fake_os::advise_huge(base, bytes, on);
}
bool collapse_huge(Addr base, Bytes bytes) noexcept { return fake_os::collapse_huge(base, bytes); }
bool move_pages(Addr from, Addr to, Bytes bytes) noexcept {
  return fake_os::move_pages(from, to, bytes);
}
Addr find_unmapped(Bytes bytes, Bytes align, Addr hint) noexcept {
  return fake_os::find_unmapped(bytes, align, hint);
}
Addr user_address_limit() noexcept { return fake_os::user_address_limit(); }
std::uint64_t now_ns() noexcept { return fake_os::now_ns(); }
// A test hands nodes to the heap itself.
bool may_use_several_nodes() noexcept { return false; }
bool has_memory_policy() noexcept { return false; }
unsigned node_here(const NumaNodes& nodes) noexcept { return fake_os::node_here(nodes); }
bool prefer_node(Addr base, Bytes bytes, unsigned system_node) noexcept {
  return fake_os::prefer_node(base, bytes, system_node);
}

}  // namespace ream::os
