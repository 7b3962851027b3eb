// Calls about memory nodes: on the real kernel, which here may have one node or none.
#include "os/numa.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "os/child.h"
#include "os/fake_os.h"
#include "os/memory.h"
#include "os/thread.h"

namespace ream::os {
namespace {

constexpr int kPreferred = 1;
constexpr unsigned kOfAddress = 2;

// The kernel's policy for an address, -1 where it does not tell.
int policy_at(Addr address) {
  int policy = -1;
  unsigned long mask[NumaNodes::kMaxSystemNodes / (8 * sizeof(unsigned long))] = {};
  if (::syscall(SYS_get_mempolicy, &policy, mask, NumaNodes::kMaxSystemNodes + 1UL, address.ptr(),
                kOfAddress) != 0)
    return -1;
  if (policy == kPreferred) {
    EXPECT_EQ(mask[0], 1u);
  }
  return policy;
}

TEST(NumaTest, PreferredNodesStayThroughPurgeAndMove) {
  const Addr base = map_anywhere(8_MiB, 2_MiB);
  ASSERT_NE(base, Addr());
  errno = 77;
  const bool preferred = prefer_node(base, 4_MiB, 0);
  EXPECT_EQ(errno, 77);
  std::memset(base.ptr(), 1, 4 << 20);  // whether or not, it is memory
  if (!preferred || policy_at(base) == -1) {
    release(base, 8_MiB);
    GTEST_SKIP() << "no memory nodes here";
  }
  EXPECT_EQ(policy_at(base), kPreferred);
  EXPECT_EQ(policy_at(base + 4_MiB), 0);
  EXPECT_TRUE(purge(base, 4_MiB));
  EXPECT_EQ(policy_at(base), kPreferred);
  std::memset(base.ptr(), 2, 4 << 20);
  ASSERT_TRUE(move_pages(base, base + 4_MiB, 4_MiB));
  EXPECT_EQ(policy_at(base), kPreferred);
  EXPECT_EQ(policy_at(base + 4_MiB), kPreferred);
  EXPECT_TRUE(renew(base, 4_MiB));
  EXPECT_EQ(policy_at(base), 0);
  release(base, 8_MiB);
}

TEST(NumaTest, ANodeThatIsNotThereIsRefused) {
  const Addr base = map_anywhere(1_MiB, 4_KiB);
  errno = 77;
  EXPECT_FALSE(prefer_node(base, 1_MiB, NumaNodes::kMaxSystemNodes - 1));
  EXPECT_EQ(errno, 77);
  std::memset(base.ptr(), 1, 1 << 20);
  release(base, 1_MiB);
}

TEST(NumaTest, AThreadIsAtTheNodeOfItsCpu) {
  NumaNodes nodes;
  nodes.count = 3;
  const unsigned cpu = current_cpu();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(node_here(nodes), 0u);  // nothing is known
  unsigned system_node = 0;
  ASSERT_EQ(::syscall(SYS_getcpu, nullptr, &system_node, nullptr), 0);
  nodes.of_system_node[system_node] = 2;
  EXPECT_EQ(node_here(nodes), 1u);
  nodes.of_cpu[cpu] = 3;
  EXPECT_EQ(node_here(nodes), 2u);
  sched_setaffinity(0, sizeof before, &before);
}

TEST(NumaTest, APolicyOfTheProcessIsSeen) {
  constexpr int kNoPolicies = 1;
  EXPECT_FALSE(has_memory_policy());
  const int got = exit_of_child([] {
    unsigned long first = 1;
    if (::syscall(SYS_set_mempolicy, kPreferred, &first, 64UL) != 0) return kNoPolicies;
    return has_memory_policy() ? 0 : 2;
  });
  if (got == kNoPolicies) GTEST_SKIP() << "no memory nodes here";
  EXPECT_EQ(got, 0);
}

TEST(NumaTest, OneNodeIsTold) {
  NumaNodes real;
  read_numa_nodes(real);
  if (real.count > 1) GTEST_SKIP() << "a machine of several nodes";
  unsigned long mask[NumaNodes::kMaxSystemNodes / (8 * sizeof(unsigned long))] = {};
  if (::syscall(SYS_get_mempolicy, nullptr, mask, NumaNodes::kMaxSystemNodes + 1UL, nullptr, 4U) !=
      0)
    GTEST_SKIP() << "a kernel that does not tell";
  EXPECT_FALSE(may_use_several_nodes());
}

}  // namespace
}  // namespace ream::os
