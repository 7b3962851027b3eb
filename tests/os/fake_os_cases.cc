// What the made-up OS can do beyond the contract: fail on order, keep records, refuse forbidden
// calls.
#include <gtest/gtest.h>

#include "base/check.h"
#include "os/access.h"
#include "os/fake_os.h"
#include "os/process.h"

namespace ream::fake_os {
namespace {

class FakeOsTest : public testing::Test {
 protected:
  FakeOsTest() { reset(); }
  ~FakeOsTest() override { reset(); }
};

TEST_F(FakeOsTest, FailsTheOrderedCalls) {
  const Addr base = map_anywhere(64_KiB, 4_KiB);
  fail(Call::kPurge, 3, 2);
  for (const bool expected : {true, true, false, false, true})
    EXPECT_EQ(purge(base, 4_KiB), expected);
  EXPECT_EQ(calls(Call::kPurge), 5u);
  EXPECT_EQ(purged().size(), 3u);
  fail(Call::kReserve);
  EXPECT_EQ(calls(Call::kReserve), 0u);
  EXPECT_EQ(reserve(4_KiB, 4_KiB), Addr());
  EXPECT_NE(reserve(4_KiB, 4_KiB), Addr());
  fail(Call::kCommit, 1, 1000);
  EXPECT_FALSE(commit(base, 4_KiB));
  succeed_again();
  EXPECT_TRUE(commit(base, 4_KiB));
}

TEST_F(FakeOsTest, EveryKindFailsAndChangesNothing) {
  const Addr base = map_anywhere(64_KiB, 4_KiB);
  os::fill(base, 64_KiB, 1);
  for (unsigned i = 0; i < static_cast<unsigned>(Call::kCount_); ++i) fail(static_cast<Call>(i));
  EXPECT_EQ(reserve(4_KiB, 4_KiB), Addr());
  EXPECT_FALSE(commit(base, 4_KiB));
  EXPECT_FALSE(decommit(base, 4_KiB));
  EXPECT_FALSE(release(base, 4_KiB));
  EXPECT_EQ(map_at(Addr(1ULL << 40), 4_KiB), Addr());
  EXPECT_EQ(map_anywhere(4_KiB, 4_KiB), Addr());
  EXPECT_FALSE(fake_os::protect(base, 4_KiB, os::Protection::kNone));
  EXPECT_FALSE(purge(base, 4_KiB));
  EXPECT_FALSE(purge_lazy(base, 4_KiB));
  const os::MemoryRange one{base, 4_KiB};
  EXPECT_EQ(fake_os::purge_batch(&one, 1), 0u);
  EXPECT_FALSE(advise_huge(base, 4_KiB, true));
  EXPECT_FALSE(collapse_huge(base, 64_KiB));
  EXPECT_FALSE(move_pages(base, base + 32_KiB, 32_KiB));
  EXPECT_EQ(find_unmapped(4_KiB, 4_KiB, Addr()), Addr());
  EXPECT_FALSE(fake_os::prefer_node(base, 4_KiB, 1));
  EXPECT_EQ(preferred_node(base), -1);
  EXPECT_TRUE(os::all_bytes(base, 64_KiB, 1));
  EXPECT_EQ(committed(), 64_KiB);
}

TEST_F(FakeOsTest, KeepsStatesAndSums) {
  const Addr base = reserve(1_MiB, 4_KiB);
  EXPECT_EQ(mapped(), 1_MiB);
  EXPECT_EQ(committed(), Bytes());
  EXPECT_TRUE(commit(base + 64_KiB, 128_KiB));
  EXPECT_TRUE(commit(base + 128_KiB, 128_KiB));
  EXPECT_EQ(committed(), 192_KiB);
  EXPECT_EQ(state_of(base), State::kReserved);
  EXPECT_EQ(state_of(base + 64_KiB), State::kCommitted);
  EXPECT_EQ(state_of(base + 256_KiB), State::kReserved);
  EXPECT_EQ(state_of(base + 1_MiB), State::kUnmapped);
  EXPECT_TRUE(decommit(base, 1_MiB));
  EXPECT_EQ(committed(), Bytes());
  EXPECT_TRUE(release(base, 512_KiB));
  EXPECT_EQ(mapped(), 512_KiB);
}

TEST_F(FakeOsTest, LimitsHold) {
  reset({.address_limit = 1_MiB, .commit_limit = 256_KiB});
  EXPECT_EQ(reserve(2_MiB, 4_KiB), Addr());
  const Addr base = reserve(1_MiB, 4_KiB);
  ASSERT_NE(base, Addr());
  EXPECT_EQ(map_anywhere(4_KiB, 4_KiB), Addr());
  EXPECT_FALSE(commit(base, 512_KiB));
  EXPECT_TRUE(commit(base, 256_KiB));
  EXPECT_TRUE(commit(base, 256_KiB));  // needs nothing more
  EXPECT_FALSE(commit(base + 128_KiB, 256_KiB));
  EXPECT_TRUE(decommit(base, 128_KiB));
  EXPECT_TRUE(commit(base + 128_KiB, 256_KiB));
}

TEST_F(FakeOsTest, HugeAdviceIsKeptByTheByte) {
  const Addr base = reserve(8_MiB, 2_MiB);
  EXPECT_TRUE(advise_huge(base + 2_MiB, 4_MiB, true));
  EXPECT_EQ(advised_huge(), 4_MiB);
  EXPECT_TRUE(commit(base, 8_MiB));
  EXPECT_EQ(advised_huge(), 4_MiB);
  EXPECT_TRUE(advise_huge(base + 4_MiB, 2_MiB, false));
  EXPECT_EQ(advised_huge(), 2_MiB);
  reset({.huge_page_size = Bytes()});
  const Addr other = map_anywhere(4_MiB, 2_MiB);
  EXPECT_FALSE(advise_huge(other, 4_MiB, true));
  EXPECT_FALSE(collapse_huge(other, 4_MiB));
}

TEST_F(FakeOsTest, NodesAreKeptByTheByte) {
  const Addr base = map_anywhere(64_KiB, 4_KiB);
  EXPECT_TRUE(prefer_node(base + 4_KiB, 8_KiB, 3));
  EXPECT_EQ(preferred_node(base), -1);
  EXPECT_EQ(preferred_node(base + 4_KiB), 3);
  EXPECT_EQ(preferred_node(base + 12_KiB), -1);
  EXPECT_TRUE(purge(base, 64_KiB));
  EXPECT_EQ(preferred_node(base + 4_KiB), 3);
  EXPECT_TRUE(move_pages(base + 4_KiB, base + 32_KiB, 8_KiB));
  EXPECT_EQ(preferred_node(base + 32_KiB), 3);
  EXPECT_TRUE(renew(base + 4_KiB, 4_KiB));
  EXPECT_EQ(preferred_node(base + 4_KiB), -1);
  EXPECT_EQ(preferred_node(base + 8_KiB), 3);
  go_to_node(2);
  EXPECT_EQ(fake_os::node_here({}), 2u);
  go_to_node(0);
}

TEST_F(FakeOsTest, ClockMovesWhenTold) {
  EXPECT_EQ(now_ns(), 0u);
  advance_clock(5);
  advance_clock(6);
  EXPECT_EQ(now_ns(), 11u);
}

using FakeOsDeathTest = FakeOsTest;

TEST_F(FakeOsDeathTest, ForbiddenCallsDie) {
  set_message_sink(os::write_stderr);
  const Addr base = reserve(64_KiB, 4_KiB);
  EXPECT_DEATH(purge(base, 4_KiB), "fake os: purge of memory that is not committed");
  EXPECT_DEATH(static_cast<void>(commit(base, 128_KiB)), "fake os: commit of unmapped memory");
  EXPECT_DEATH(release(base + 64_KiB, 4_KiB), "fake os: release of unmapped memory");
  EXPECT_DEATH(*static_cast<volatile char*>(base.ptr()) = 1, "");
  reset({.page_size = 64_KiB});
  const Addr wide = map_anywhere(128_KiB, 64_KiB);
  EXPECT_DEATH(purge(wide, 8_KiB), "check failed");
}

}  // namespace
}  // namespace ream::fake_os
