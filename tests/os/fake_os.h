// A made-up OS for tests: the functions of os/memory.h and os/clock.h, and the calls of os/numa.h,
// over real memory, with
//   - an OS page of any size (4, 16, 64 KiB), whatever the machine's
//   - the n-th call of any kind made to fail
//   - limits of address space and of committed memory
//   - the state of every page on record: a call that the contract forbids (purging what is not
//     committed, releasing what is not ours, giving back a part of a page of the pool) ends the
//     program with its name; reserved memory is really inaccessible, so that touching it faults
//   - counts of calls, and the list of purged ranges
//   - a clock that moves when told
//   - a node for each thread that says it is there, and the node that each page is wanted from
//
// Two uses. tests/os holds it to the same conformance tests as the real one, calling it by name. A
// test of a layer above links `ream_fake_os` instead of `ream_os` (see CMakeLists.txt); then
// ream::os::purge and the others are these.
//
// Thread safety: all, by one lock. Lifetime: reset() between tests, when whatever used memory is
// gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/units.h"
#include "os/memory.h"
#include "os/numa.h"

namespace ream::fake_os {

enum class Call : unsigned {
  kReserve,
  kCommit,
  kDecommit,
  kRelease,
  kMapAt,
  kMapAnywhere,
  kMapPooled,
  kProtect,
  kPurge,
  kPurgeLazy,
  kPurgeBatch,  // failing: the batch stops in its middle
  kAdviseHuge,
  kCollapseHuge,
  kMovePages,
  kFindUnmapped,
  kPreferNode,
  kCount_,
};

struct Options {
  Bytes page_size = 4_KiB;
  Bytes huge_page_size = 2_MiB;  // 0: a kernel without
  os::HugePageRule huge_page_rule = os::HugePageRule::kAdvised;
  Bytes address_limit{~0ULL};  // of all mapped memory
  Bytes commit_limit{~0ULL};   // of all committed memory, as under strict overcommit
  Bytes pool{};                // of huge pages, for map_pooled_at
};

enum class State : unsigned char { kUnmapped, kReserved, kCommitted };

// Unmaps whatever is still mapped, forgets calls and failures, sets the clock to zero.
void reset(const Options& options = {});

// Makes the n-th call of that kind from now on fail (1: the next one), and `times` - 1 more after
// it.
void fail(Call call, std::size_t n = 1, std::size_t times = 1);
void succeed_again();  // drops all failures ordered
// Calls of that kind since reset(), failed ones included.
[[nodiscard]] std::size_t calls(Call call);

[[nodiscard]] Bytes mapped();
[[nodiscard]] Bytes committed();
[[nodiscard]] State state_of(Addr addr);
// Ranges purged since reset() (purge and purge_batch, not purge_lazy), in order.
[[nodiscard]] std::vector<os::MemoryRange> purged();
// Bytes that are advised for huge pages now.
[[nodiscard]] Bytes advised_huge();

// Bytes that are advised against huge pages now.
[[nodiscard]] Bytes advised_against_huge();
// What is left of the pool.
[[nodiscard]] Bytes pool_free();
// Ranges collapsed since reset(), in order.
[[nodiscard]] std::vector<os::MemoryRange> collapsed();

void advance_clock(std::uint64_t ns);

// The node that this thread is at from now on; 0 before.
void go_to_node(unsigned node);
// The system node that prefer_node() was told for a page; -1: none. What is mapped or renewed has
// none; what moves takes its own along.
[[nodiscard]] int preferred_node(Addr addr);

// ---- the interface: os/memory.h, os/clock.h and os/numa.h

[[nodiscard]] Bytes os_page_size() noexcept;
[[nodiscard]] Addr reserve(Bytes bytes, Bytes align) noexcept;
[[nodiscard]] bool commit(Addr base, Bytes bytes) noexcept;
bool renew(Addr base, Bytes bytes) noexcept;
[[nodiscard]] bool decommit(Addr base, Bytes bytes) noexcept;
bool release(Addr base, Bytes bytes) noexcept;
[[nodiscard]] Addr map_at(Addr hint, Bytes bytes) noexcept;
[[nodiscard]] Addr map_anywhere(Bytes bytes, Bytes align) noexcept;
[[nodiscard]] Addr map_pooled_at(Addr hint, Bytes bytes) noexcept;
bool protect(Addr base, Bytes bytes, os::Protection protection) noexcept;
bool purge(Addr base, Bytes bytes) noexcept;
bool purge_lazy(Addr base, Bytes bytes) noexcept;
[[nodiscard]] std::size_t purge_batch(const os::MemoryRange* ranges, std::size_t count) noexcept;
[[nodiscard]] Bytes resident_bytes(Addr base, Bytes bytes) noexcept;
[[nodiscard]] Bytes huge_page_size() noexcept;
[[nodiscard]] os::HugePageRule huge_page_rule() noexcept;
bool advise_huge(Addr base, Bytes bytes, bool on) noexcept;
bool collapse_huge(Addr base, Bytes bytes) noexcept;
[[nodiscard]] bool move_pages(Addr from, Addr to, Bytes bytes) noexcept;
[[nodiscard]] Addr find_unmapped(Bytes bytes, Bytes align, Addr hint) noexcept;
[[nodiscard]] Addr user_address_limit() noexcept;
[[nodiscard]] std::uint64_t now_ns() noexcept;
[[nodiscard]] unsigned node_here(const os::NumaNodes& nodes) noexcept;
bool prefer_node(Addr base, Bytes bytes, unsigned system_node) noexcept;

}  // namespace ream::fake_os
