// Memory nodes on Linux: system calls, by number, since the C library leaves them to libnuma.
#include "os/numa.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <bit>

#include "os/errno_keeper.h"
#include "os/range_check.h"
#include "os/thread.h"

namespace ream::os {
namespace {

// Of linux/mempolicy.h.
constexpr int kDefault = 0;
constexpr int kPreferred = 1;
constexpr int kLocal = 4;
constexpr unsigned kMemsAllowed = 4;

struct NodeMask {
  static constexpr unsigned kWordBits = 8 * sizeof(unsigned long);
  // The kernel takes one less than it is told.
  static constexpr unsigned long kBits = NumaNodes::kMaxSystemNodes + 1;

  unsigned long words[NumaNodes::kMaxSystemNodes / kWordBits] = {};
};

}  // namespace

// Where the kernel does not tell (a filter of system calls), the tables do.
bool may_use_several_nodes() noexcept {
  const ErrnoKeeper keep;
  NodeMask allowed;
  if (::syscall(SYS_get_mempolicy, nullptr, allowed.words, NodeMask::kBits, nullptr,
                kMemsAllowed) != 0)
    return true;
  int count = 0;
  for (const unsigned long word : allowed.words) count += std::popcount(word);
  return count > 1;
}

bool has_memory_policy() noexcept {
  const ErrnoKeeper keep;
  int policy = kDefault;
  return ::syscall(SYS_get_mempolicy, &policy, nullptr, 0UL, nullptr, 0U) == 0 &&
         policy != kDefault && policy != kLocal;
}

unsigned node_here(const NumaNodes& nodes) noexcept {
  const unsigned cpu = current_cpu();
  if (cpu < NumaNodes::kMaxCpus && nodes.of_cpu[cpu] != 0) [[likely]]
    return nodes.of_cpu[cpu] - 1u;
  const ErrnoKeeper keep;
  unsigned system_node = 0;
  if (::syscall(SYS_getcpu, nullptr, &system_node, nullptr) != 0 ||
      system_node >= NumaNodes::kMaxSystemNodes || nodes.of_system_node[system_node] == 0)
    return 0;
  return nodes.of_system_node[system_node] - 1u;
}

bool prefer_node(Addr base, Bytes bytes, unsigned system_node) noexcept {
  check_range(base, bytes);
  REAM_CHECK(system_node < NumaNodes::kMaxSystemNodes);
  const ErrnoKeeper keep;
  NodeMask mask;
  mask.words[system_node / NodeMask::kWordBits] = 1UL << system_node % NodeMask::kWordBits;
  return ::syscall(SYS_mbind, base.ptr(), bytes.n, kPreferred, mask.words, NodeMask::kBits, 0U) ==
         0;
}

}  // namespace ream::os
