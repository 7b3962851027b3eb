// The contract of os/memory.h, held against the real OS and against the made-up one with each size
// of OS page; then what only the real one can show.
#include "os/memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/check.h"
#include "os/access.h"
#include "os/child.h"
#include "os/memory_functions.h"
#include "os/process.h"
#include "os/sanitized.h"

namespace ream::os {
namespace {

class MemoryTest : public testing::TestWithParam<MemoryFunctions> {
 protected:
  MemoryTest() : os(GetParam()) {
    if (os.fake_page_size != Bytes()) fake_os::reset({.page_size = os.fake_page_size});
    page = os.os_page_size();
    set_message_sink(write_stderr);
  }
  ~MemoryTest() override {
    if (os.fake_page_size != Bytes()) fake_os::reset();
  }

  // Small committed memory that is never backed by huge pages, so that residency is exact.
  Addr small_pages(Bytes bytes) {
    const Addr base = os.map_anywhere(bytes, page);
    EXPECT_NE(base, Addr());
    os.advise_huge(base, bytes, false);
    return base;
  }

  const MemoryFunctions os;
  Bytes page;
  AccessProbe probe;
};

TEST_P(MemoryTest, PageSizeIsAPowerOfTwoAndConstant) {
  EXPECT_TRUE(is_power_of_two(page.n));
  EXPECT_GE(page, 4_KiB);
  EXPECT_EQ(os.os_page_size(), page);
}

TEST_P(MemoryTest, ReservedMemoryIsAlignedAndInaccessible) {
  for (const Bytes align : {1_B, page, page * 2, 2_MiB, 64_MiB, 1_GiB}) {
    const Bytes bytes = page * 3;
    const Addr base = os.reserve(bytes, align);
    ASSERT_NE(base, Addr());
    EXPECT_TRUE(is_aligned(base.n, align.n));
    EXPECT_TRUE(is_aligned(base.n, page.n));
    EXPECT_FALSE(probe.readable(base));
    EXPECT_FALSE(probe.readable(base + bytes - 1_B));
    EXPECT_TRUE(os.release(base, bytes));
  }
}

TEST_P(MemoryTest, CommitGivesZeroAndKeepsWhatIsCommitted) {
  const Addr base = os.reserve(page * 8, page);
  ASSERT_TRUE(os.commit(base + page * 2, page * 2));
  EXPECT_FALSE(probe.readable(base + page));
  EXPECT_TRUE(probe.writable(base + page * 2));
  EXPECT_FALSE(probe.readable(base + page * 4));
  EXPECT_TRUE(all_bytes(base + page * 2, page * 2, 0));
  fill(base + page * 2, page * 2, 7);
  ASSERT_TRUE(os.commit(base, page * 8));
  EXPECT_TRUE(all_bytes(base, page * 2, 0));
  EXPECT_TRUE(all_bytes(base + page * 2, page * 2, 7));
  EXPECT_TRUE(all_bytes(base + page * 4, page * 4, 0));
  EXPECT_TRUE(os.release(base, page * 8));
}

TEST_P(MemoryTest, RenewForgetsAndStaysCommitted) {
  const Addr base = os.map_anywhere(page * 4, page);
  fill(base, page * 4, 9);
  ASSERT_TRUE(os.renew(base + page, page * 2));
  EXPECT_TRUE(all_bytes(base, page, 9));
  EXPECT_TRUE(all_bytes(base + page, page * 2, 0));
  EXPECT_TRUE(all_bytes(base + page * 3, page, 9));
  fill(base + page, page * 2, 7);
  EXPECT_TRUE(all_bytes(base + page, page * 2, 7));
  os.release(base, page * 4);
}

TEST_P(MemoryTest, DecommitForgets) {
  const Addr base = os.map_anywhere(page * 4, page);
  fill(base, page * 4, 9);
  ASSERT_TRUE(os.decommit(base + page, page * 2));
  EXPECT_TRUE(all_bytes(base, page, 9));
  EXPECT_FALSE(probe.readable(base + page));
  EXPECT_TRUE(all_bytes(base + page * 3, page, 9));
  ASSERT_TRUE(os.decommit(base + page, page));  // again
  ASSERT_TRUE(os.commit(base + page, page * 2));
  EXPECT_TRUE(all_bytes(base + page, page * 2, 0));
  EXPECT_TRUE(os.release(base, page * 4));
}

TEST_P(MemoryTest, PurgeGivesZeroAndTouchesNothingElse) {
  const Addr base = small_pages(page * 16);
  fill(base, page * 16, 5);
  EXPECT_EQ(os.resident_bytes(base, page * 16), page * 16);
  ASSERT_TRUE(os.purge(base + page * 4, page * 8));
  EXPECT_EQ(os.resident_bytes(base, page * 16), page * 8);
  EXPECT_TRUE(all_bytes(base, page * 4, 5));
  EXPECT_TRUE(all_bytes(base + page * 12, page * 4, 5));
  EXPECT_TRUE(all_bytes(base + page * 4, page * 8, 0));
  fill(base + page * 4, page * 8, 6);
  EXPECT_TRUE(all_bytes(base + page * 4, page * 8, 6));
  EXPECT_TRUE(os.release(base, page * 16));
}

TEST_P(MemoryTest, LazyPurgeLeavesOldContentsOrZero) {
  const Addr base = small_pages(page * 16);
  fill(base, page * 16, 5);
  ASSERT_TRUE(os.purge_lazy(base + page, page * 8));
  for (unsigned i = 0; i < 16; ++i) {
    const Addr at = base + page * i;
    EXPECT_TRUE(all_bytes(at, page, 5) || (i >= 1 && i < 9 && all_bytes(at, page, 0))) << i;
  }
  fill(base, page * 16, 6);
  EXPECT_TRUE(all_bytes(base, page * 16, 6));
  EXPECT_TRUE(os.release(base, page * 16));
}

TEST_P(MemoryTest, BatchPurgesEveryRangeAndNothingBetween) {
  for (const std::size_t count : {0u, 1u, 2u, 63u, 64u, 65u, 200u}) {
    const Bytes bytes = page * (2 * count + 1);
    const Addr base = small_pages(bytes);
    fill(base, bytes, 3);
    std::vector<MemoryRange> ranges;
    for (std::size_t i = 0; i < count; ++i) ranges.push_back({base + page * (2 * i), page});
    EXPECT_EQ(os.purge_batch(ranges.data(), count), count);
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_TRUE(all_bytes(base + page * (2 * i), page, 0)) << i;
      EXPECT_TRUE(all_bytes(base + page * (2 * i + 1), page, 3)) << i;
    }
    EXPECT_TRUE(os.release(base, bytes));
  }
}

TEST_P(MemoryTest, ResidencyCountsTouchedPages) {
  // More than one window of the system call, with a hole and reserved memory in it.
  const Bytes bytes = page * 2500;
  const Addr base = small_pages(bytes);
  EXPECT_EQ(os.resident_bytes(base, bytes), Bytes());
  for (const unsigned i : {0u, 1u, 1023u, 1024u, 2047u, 2048u, 2499u})
    fill(base + page * i, 1_B, 1);
  EXPECT_EQ(os.resident_bytes(base, bytes), page * 7);
  ASSERT_TRUE(os.decommit(base + page * 1000, page * 100));
  EXPECT_EQ(os.resident_bytes(base, bytes), page * 5);
  ASSERT_TRUE(os.release(base + page * 2000, page * 100));
  EXPECT_EQ(os.resident_bytes(base, bytes), page * 3);
  EXPECT_TRUE(os.release(base, page * 2000));
  EXPECT_TRUE(os.release(base + page * 2100, page * 400));
}

TEST_P(MemoryTest, AnyPartCanBeReleased) {
  const Addr base = os.map_anywhere(page * 9, page);
  fill(base, page * 9, 1);
  ASSERT_TRUE(os.release(base + page * 3, page * 3));
  EXPECT_FALSE(probe.readable(base + page * 3));
  EXPECT_TRUE(all_bytes(base, page * 3, 1));
  EXPECT_TRUE(all_bytes(base + page * 6, page * 3, 1));
  ASSERT_TRUE(os.release(base, page));
  ASSERT_TRUE(os.release(base + page * 8, page));
  EXPECT_TRUE(all_bytes(base + page, page * 2, 1));
  EXPECT_TRUE(os.release(base + page, page * 2));
  EXPECT_TRUE(os.release(base + page * 6, page * 2));
}

TEST_P(MemoryTest, MapAtIsExactOrNothing) {
  const Addr base = os.reserve(page * 9, page);
  ASSERT_TRUE(os.release(base + page * 3, page * 3));
  const Addr hole = base + page * 3;
  // Into what is mapped, by one page at either end and in whole.
  EXPECT_EQ(os.map_at(hole - page, page * 2), Addr());
  EXPECT_EQ(os.map_at(hole + page, page * 3), Addr());
  EXPECT_EQ(os.map_at(base, page), Addr());
  EXPECT_FALSE(probe.readable(hole));  // a refusal leaves nothing behind
  ASSERT_EQ(os.map_at(hole, page * 3), hole);
  EXPECT_TRUE(all_bytes(hole, page * 3, 0));
  fill(hole, page * 3, 8);
  EXPECT_EQ(os.map_at(hole, page * 3), Addr());
  EXPECT_TRUE(all_bytes(hole, page * 3, 8));
  EXPECT_TRUE(os.release(base, page * 9));
}

TEST_P(MemoryTest, MapAtRefusesWhatIsNotUserMemory) {
  EXPECT_EQ(os.map_at(os.user_address_limit(), 64_KiB), Addr());
  EXPECT_EQ(os.map_at(Addr(0xffff'8000'0000'0000), 64_KiB), Addr());
}

TEST_P(MemoryTest, MapAnywhereIsAlignedAndZero) {
  for (const Bytes align : {page, 1_MiB, 4_MiB}) {
    const Addr base = os.map_anywhere(page * 5, align);
    ASSERT_NE(base, Addr());
    EXPECT_TRUE(is_aligned(base.n, align.n));
    EXPECT_TRUE(all_bytes(base, page * 5, 0));
    fill(base, page * 5, 1);
    EXPECT_TRUE(os.release(base, page * 5));
  }
}

TEST_P(MemoryTest, TooMuchIsRefused) {
  EXPECT_EQ(os.reserve(Bytes(1ULL << 62), page), Addr());
  EXPECT_EQ(os.reserve(page, Bytes(1ULL << 62)), Addr());
  EXPECT_EQ(os.reserve(Bytes(~0ULL << 16), Bytes(1ULL << 40)), Addr());
  EXPECT_EQ(os.map_anywhere(Bytes(1ULL << 62), page), Addr());
  EXPECT_EQ(os.find_unmapped(Bytes(1ULL << 62), page, Addr()), Addr());
  EXPECT_EQ(os.find_unmapped(page, page, os.user_address_limit()), Addr());
  EXPECT_EQ(os.find_unmapped(page, Bytes(1ULL << 63), Addr()), Addr());
}

TEST_P(MemoryTest, ProtectionChangesAccessNotContents) {
  const Addr base = os.map_anywhere(page * 3, page);
  fill(base, page * 3, 4);
  EXPECT_TRUE(os.protect(base + page, page, Protection::kRead));
  EXPECT_TRUE(probe.readable(base + page));
  EXPECT_FALSE(probe.writable(base + page));
  EXPECT_TRUE(probe.writable(base));
  EXPECT_TRUE(os.protect(base, page * 3, Protection::kNone));
  EXPECT_FALSE(probe.readable(base));
  EXPECT_TRUE(os.protect(base, page * 3, Protection::kReadWrite));
  EXPECT_TRUE(all_bytes(base, page * 3, 4));
  EXPECT_TRUE(os.release(base, page * 3));
}

TEST_P(MemoryTest, MovedPagesLeaveZeroBehind) {
  for (const Bytes bytes : {page, page * 37, 4_MiB}) {
    const Addr area = os.map_anywhere(12_MiB, 4_MiB);
    const Addr from = area;
    for (const Addr to : {area + 4_MiB, area + 4_MiB + page}) {
      fill(from, bytes, 1);
      fill(to, bytes, 2);
      fill(to + bytes, page, 3);
      if (os.move_pages(from, to, bytes)) {
        EXPECT_TRUE(all_bytes(to, bytes, 1));
        EXPECT_TRUE(all_bytes(from, bytes, 0));
      } else {
        EXPECT_TRUE(all_bytes(from, bytes, 1));
      }
      EXPECT_TRUE(all_bytes(to + bytes, page, 3));
      fill(from, bytes, 5);  // both stay writable
      fill(to, bytes, 6);
      EXPECT_TRUE(all_bytes(from, bytes, 5));
    }
    EXPECT_TRUE(os.release(area, 12_MiB));
  }
}

// The kernel may keep `from` as several mappings; then a move may be refused, but nothing is lost.
TEST_P(MemoryTest, MoveOfSeveralMappingsWorksOrChangesNothing) {
  const Addr area = os.map_anywhere(8_MiB, 4_MiB);
  const Addr to = area + 4_MiB;
  for (unsigned i = 0; i < 4; i += 2) os.advise_huge(area + 1_MiB * i, 1_MiB, false);
  fill(area, 4_MiB, 1);
  fill(to, 4_MiB, 2);
  if (os.move_pages(area, to, 4_MiB)) {
    EXPECT_TRUE(all_bytes(to, 4_MiB, 1));
    EXPECT_TRUE(all_bytes(area, 4_MiB, 0));
  } else {
    EXPECT_TRUE(all_bytes(area, 4_MiB, 1));
    EXPECT_TRUE(probe.writable(to));
  }
  // Onto several mappings.
  fill(to, 4_MiB, 7);
  if (os.move_pages(to, area, 4_MiB)) {
    EXPECT_TRUE(all_bytes(area, 4_MiB, 7));
    EXPECT_TRUE(all_bytes(to, 4_MiB, 0));
  } else {
    EXPECT_TRUE(all_bytes(to, 4_MiB, 7));
  }
  EXPECT_TRUE(os.release(area, 8_MiB));
}

TEST_P(MemoryTest, MovedMemoryCanBePurgedDecommittedAndReleased) {
  const Addr area = os.map_anywhere(page * 8, page);
  fill(area, page * 4, 1);
  static_cast<void>(os.move_pages(area, area + page * 4, page * 4));
  EXPECT_TRUE(os.purge(area, page * 8));
  EXPECT_TRUE(all_bytes(area, page * 8, 0));
  EXPECT_TRUE(os.decommit(area, page * 8));
  EXPECT_TRUE(os.commit(area, page * 8));
  EXPECT_TRUE(os.release(area, page * 8));
}

TEST_P(MemoryTest, HugePageAdviceChangesNoContents) {
  const Bytes huge = os.huge_page_size();
  EXPECT_TRUE(huge == Bytes() || (is_power_of_two(huge.n) && huge > page));
  const Addr base = os.map_anywhere(8_MiB, 4_MiB);
  fill(base, 8_MiB, 1);
  for (const bool on : {true, true, false, false}) {
    os.advise_huge(base, 8_MiB, on);
    os.advise_huge(base + page, page, !on);
    EXPECT_TRUE(all_bytes(base, 8_MiB, 1));
  }
  os.collapse_huge(base, 8_MiB);
  EXPECT_TRUE(all_bytes(base, 8_MiB, 1));
  os.collapse_huge(base + page, page);  // no whole huge page in it
  ASSERT_TRUE(os.purge(base, 8_MiB));
  EXPECT_TRUE(all_bytes(base, 8_MiB, 0));
  EXPECT_TRUE(os.release(base, 8_MiB));
}

TEST_P(MemoryTest, HolesAreFoundInOrder) {
  const Addr lowest(0x2000'0000'0000);
  const Addr at = os.find_unmapped(page * 1024, 1_MiB, lowest);
  ASSERT_NE(at, Addr());
  ASSERT_GE(at, lowest);
  if (os.map_at(at, page * 1024) != at) GTEST_SKIP() << "far addresses cannot be mapped here";
  // Holes of 1, 2, 3 ... pages, 16 pages from one to the next.
  for (unsigned k = 1; k <= 8; ++k) ASSERT_TRUE(os.release(at + page * (16 * k), page * k));
  for (unsigned k = 1; k <= 8; ++k) {
    EXPECT_EQ(os.find_unmapped(page * k, page, at), at + page * (16 * k));
    EXPECT_EQ(os.find_unmapped(page, page, at + page * (16 * k)), at + page * (16 * k));
  }
  // From inside a hole only its rest counts.
  EXPECT_EQ(os.find_unmapped(page * 4, page, at + page * (16 * 4 + 1)), at + page * (16 * 5));
  EXPECT_EQ(os.find_unmapped(page * 3, page, at + page * (16 * 4 + 1)), at + page * (16 * 4 + 1));
  // Alignment: holes begin at multiples of 16 pages from an aligned base.
  EXPECT_EQ(os.find_unmapped(page * 8, page * 16, at), at + page * (16 * 8));
  EXPECT_EQ(os.find_unmapped(page, page * 64, at), at + page * 64);
  // Larger than all of them: beyond the end.
  EXPECT_EQ(os.find_unmapped(page * 9, page, at), at + page * 1024);
  const Addr hole = at + page * (16 * 8);
  EXPECT_EQ(os.map_at(hole, page * 8), hole);
  EXPECT_EQ(os.find_unmapped(page * 8, page, at), at + page * 1024);
  Addr from = at;
  for (unsigned k = 1; k <= 7; ++k) {
    ASSERT_TRUE(os.release(from, at + page * (16 * k) - from));
    from = at + page * (17 * k);
  }
  ASSERT_TRUE(os.release(from, at + page * 1024 - from));
}

TEST_P(MemoryTest, FoundHolesCanBeMapped) {
  for (const Addr hint :
       {Addr(), Addr(1), Addr(0x7000'0000'0000), Addr(reinterpret_cast<void*>(&fill))}) {
    const Addr hole = os.find_unmapped(64_MiB, 4_MiB, hint);
    if (hole == Addr()) continue;  // near the top there may be none
    EXPECT_GE(hole, hint);
    EXPECT_TRUE(is_aligned(hole.n, (4_MiB).n));
    if (os.map_at(hole, 64_MiB) == hole) {  // not where a sanitizer forbids it
      EXPECT_TRUE(os.release(hole, 64_MiB));
    }
  }
}

TEST_P(MemoryTest, ErrnoIsLeftAlone) {
  const Addr base = os.map_anywhere(page * 4, page);
  const Addr other = os.map_anywhere(page * 4, page);
  const MemoryRange range{base, page};
  errno = 77;
  static_cast<void>(os.reserve(Bytes(1ULL << 62), page));
  static_cast<void>(os.map_at(base, page));
  static_cast<void>(os.map_at(os.user_address_limit(), 64_KiB));
  static_cast<void>(os.map_anywhere(Bytes(1ULL << 62), page));
  static_cast<void>(os.find_unmapped(page, page, Addr()));
  static_cast<void>(os.commit(base, page));
  os.purge(base, page);
  os.purge_lazy(base, page);
  static_cast<void>(os.purge_batch(&range, 1));
  os.advise_huge(base, page, true);
  os.collapse_huge(base, page);
  static_cast<void>(os.move_pages(base, other, page));
  static_cast<void>(os.resident_bytes(base, page * 4));
  os.protect(base, page, Protection::kNone);
  static_cast<void>(os.decommit(base, page));
  os.release(base, page * 4);
  os.release(other, page * 4);
  EXPECT_EQ(errno, 77);
}

using MemoryDeathTest = MemoryTest;

TEST_P(MemoryDeathTest, MisuseDies) {
  const Addr base = os.map_anywhere(page * 4, page);
  EXPECT_DEATH(os.purge(base + 1_B, page), "check failed");
  EXPECT_DEATH(os.purge(base, page + 8_B), "check failed");
  EXPECT_DEATH(os.release(base, Bytes()), "check failed");
  EXPECT_DEATH(os.release(Addr() - page, page * 2), "check failed");
  EXPECT_DEATH(static_cast<void>(os.reserve(page, Bytes(3))), "check failed");
  EXPECT_DEATH(static_cast<void>(os.move_pages(base, base + page, page * 2)), "check failed");
  EXPECT_TRUE(os.release(base, page * 4));
}

INSTANTIATE_TEST_SUITE_P(Os, MemoryTest,
                         testing::Values(kRealMemory, fake_memory("fake4K", 4_KiB),
                                         fake_memory("fake16K", 16_KiB),
                                         fake_memory("fake64K", 64_KiB)),
                         [](const auto& info) { return std::string(info.param.name); });
INSTANTIATE_TEST_SUITE_P(Os, MemoryDeathTest,
                         testing::Values(kRealMemory, fake_memory("fake64K", 64_KiB)),
                         [](const auto& info) { return std::string(info.param.name); });

// ---- the real OS under limits

void limit(__rlimit_resource resource, Bytes bytes) {
  const rlimit r{bytes.n, bytes.n};
  if (::setrlimit(resource, &r) != 0) ::_exit(99);
}

TEST(RealMemoryTest, ReservesWithinAnAddressSpaceLimit) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer needs the room itself";
  EXPECT_EQ(exit_of_child([] {
              limit(RLIMIT_AS, 2_GiB);
              if (reserve(64_GiB, 4_MiB) != Addr()) return 1;
              if (map_anywhere(64_GiB, 4_MiB) != Addr()) return 2;
              if (map_at(find_unmapped(4_GiB, 4_MiB, Addr(0xc0'0000'0000)), 4_GiB) != Addr())
                return 3;
              const Addr base = reserve(512_MiB, 4_MiB);
              if (base == Addr() || !commit(base, 512_MiB)) return 4;
              fill(base, 8_MiB, 1);
              const Addr at = find_unmapped(64_MiB, 4_MiB, Addr(0xc0'0000'0000));
              if (map_at(at, 64_MiB) != at) return 5;
              return release(at, 64_MiB) && release(base, 512_MiB) ? 0 : 6;
            }),
            0);
}

TEST(RealMemoryTest, CommitFailsAtTheDataLimitAndReservingDoesNot) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer needs the room itself";
  EXPECT_EQ(exit_of_child([] {
              limit(RLIMIT_DATA, 512_MiB);
              const Addr base = reserve(1_GiB, 4_MiB);
              if (base == Addr()) return 1;
              if (!commit(base, 16_MiB)) return 2;
              fill(base, 16_MiB, 1);
              if (commit(base, 1_GiB)) return 3;
              if (!all_bytes(base, 16_MiB, 1)) return 4;
              if (map_anywhere(1_GiB, 4_MiB) != Addr()) return 5;
              if (!decommit(base, 1_GiB)) return 6;
              return commit(base + 16_MiB, 16_MiB) && release(base, 1_GiB) ? 0 : 7;
            }),
            0);
}

TEST(RealMemoryTest, AMoveWithoutRoomChangesNothing) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer needs the room itself";
  EXPECT_EQ(exit_of_child([] {
              const Addr area = map_anywhere(512_MiB, 4_MiB);
              fill(area, 1_MiB, 1);
              limit(RLIMIT_AS, 600_MiB);  // the move needs 256 MiB more for a moment
              if (move_pages(area, area + 256_MiB, 256_MiB)) return 1;
              if (!all_bytes(area, 1_MiB, 1)) return 2;
              return all_bytes(area + 256_MiB, 1_MiB, 0) ? 0 : 3;
            }),
            0);
}

TEST(RealMemoryTest, PinnedMemoryIsNotPurged) {
  EXPECT_EQ(exit_of_child([] {
              const Bytes page = os_page_size();
              const Addr base = map_anywhere(page * 200, page);
              fill(base, page * 200, 1);
              if (::syscall(SYS_mlock, (base + page * 140).ptr(), page.n) != 0)
                return 0;  // not allowed to: no test
              if (purge(base + page * 140, page)) return 1;
              if (!all_bytes(base + page * 140, page, 1)) return 2;
              MemoryRange ranges[100];
              for (unsigned i = 0; i < 100; ++i) ranges[i] = {base + page * (2 * i), page};
              if (purge_batch(ranges, 100) != 70) return 3;
              if (!all_bytes(base + page * 138, page, 0)) return 4;
              if (purge_batch(ranges + 71, 29) != 29) return 5;
              for (unsigned i = 0; i < 100; ++i) {
                if (!all_bytes(ranges[i].base, page, i == 70 ? 1 : 0)) return 6;
              }
              return 0;
            }),
            0);
}

TEST(RealMemoryTest, SurvivesTheLimitOnMappings) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer needs the room itself";
  EXPECT_EQ(exit_of_child([] {
              // Every second page of its own kind, until the kernel has had enough.
              const Bytes page = os_page_size();
              constexpr unsigned kPages = 140000;
              const Addr base = reserve(page * kPages, page);
              if (base == Addr()) return 1;
              unsigned refused = 0;
              for (unsigned i = 1; i < kPages && refused == 0; i += 2) {
                if (!commit(base + page * i, page)) refused = i;
              }
              if (refused == 0) return 0;  // a machine with more mappings than usual
              fill(base + page, page, 1);
              if (release(base + page * (refused + 2), page)) return 2;  // would make one more
              if (!purge(base + page, page)) return 3;
              return release(base, page * kPages) ? 0 : 4;
            }),
            0);
}

}  // namespace
}  // namespace ream::os
