// Memory of the system's pool of huge pages. Transparent ones, and moves, are in memory_test.cc.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "os/child.h"
#include "os/memory.h"

namespace ream::os {
namespace {

// Makes the machine's pool larger for a test, as far as it allows that.
class PooledTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kWanted = 4;

  PooledTest() : before_(read("nr_hugepages")) {
    write(before_ + kWanted);
    has_pool_ = read("nr_hugepages") == before_ + kWanted && free_pages() >= kWanted;
  }
  ~PooledTest() override { write(before_); }

  static std::uint64_t read(const std::string& file) {
    std::uint64_t n = 0;
    std::ifstream(kFolder + file) >> n;
    return n;
  }
  static void write(std::uint64_t pages) { std::ofstream(kFolder + "nr_hugepages") << pages; }
  static std::uint64_t free_pages() { return read("free_hugepages") - read("resv_hugepages"); }

  // Where nothing is mapped.
  static Addr hole(Bytes bytes) {
    return find_unmapped(bytes, kPooledPage, Addr(0x00d0'0000'0000));
  }

  static inline const std::string kFolder = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
  std::uint64_t before_;
  bool has_pool_ = false;
};

#define NEEDS_POOL() \
  if (!has_pool_) GTEST_SKIP() << "no pool of 2 MiB pages can be made here (nr_hugepages)"

TEST_F(PooledTest, IsZeroAtOnceAndGoesBackByRelease) {
  NEEDS_POOL();
  const std::uint64_t free_before = free_pages();
  const Addr at = hole(kPooledPage * 2);
  errno = 77;
  ASSERT_EQ(map_pooled_at(at, kPooledPage * 2), at);
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(free_pages(), free_before - 2);
  const auto* bytes = static_cast<const unsigned char*>(at.ptr());
  EXPECT_EQ(bytes[0], 0);
  EXPECT_EQ(std::memcmp(bytes, bytes + 1, (kPooledPage * 2).n - 1), 0);
  std::memset(at.ptr(), 1, (kPooledPage * 2).n);
  EXPECT_TRUE(release(at, kPooledPage * 2));
  EXPECT_EQ(free_pages(), free_before);
}

TEST_F(PooledTest, ARenewedPageIsOrdinaryAndZeroAndTheOthersStay) {
  NEEDS_POOL();
  const std::uint64_t free_before = free_pages();
  const Addr at = hole(kPooledPage * 3);
  ASSERT_EQ(map_pooled_at(at, kPooledPage * 3), at);
  std::memset(at.ptr(), 0x5a, (kPooledPage * 3).n);
  ASSERT_TRUE(renew(at + kPooledPage, kPooledPage));
  EXPECT_EQ(free_pages(), free_before - 2);
  auto* bytes = static_cast<unsigned char*>(at.ptr());
  EXPECT_EQ(bytes[kPooledPage.n - 1], 0x5a);
  EXPECT_EQ(bytes[kPooledPage.n], 0);
  EXPECT_EQ(bytes[(kPooledPage * 2).n], 0x5a);
  bytes[kPooledPage.n + 5000] = 1;
  EXPECT_TRUE(purge(at + kPooledPage + 4_KiB, kPooledPage - 4_KiB));
  EXPECT_EQ(bytes[kPooledPage.n + 5000], 0);
  EXPECT_TRUE(release(at, kPooledPage * 3));
  EXPECT_EQ(free_pages(), free_before);
}

TEST_F(PooledTest, IsRefusedWhereThePoolHasTooFewAndNothingIsMapped) {
  const Bytes bytes((read("nr_hugepages") + 8) * kPooledPage.n);
  const Addr at = hole(bytes);
  errno = 77;
  EXPECT_EQ(map_pooled_at(at, bytes), Addr());
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(hole(bytes), at);
}

TEST_F(PooledTest, IsRefusedWhereSomethingIsMapped) {
  NEEDS_POOL();
  const Addr at = hole(kPooledPage * 2);
  ASSERT_EQ(map_at(at + kPooledPage, kPooledPage), at + kPooledPage);
  static_cast<unsigned char*>(at.ptr())[kPooledPage.n] = 0x5a;
  const std::uint64_t free_before = free_pages();
  EXPECT_EQ(map_pooled_at(at, kPooledPage * 2), Addr());
  EXPECT_EQ(static_cast<unsigned char*>(at.ptr())[kPooledPage.n], 0x5a);
  EXPECT_EQ(free_pages(), free_before);
  EXPECT_TRUE(release(at + kPooledPage, kPooledPage));
}

TEST_F(PooledTest, MovesAreRefusedAndLoseNothing) {
  NEEDS_POOL();
  const Addr at = hole(kPooledPage * 2);
  ASSERT_EQ(map_pooled_at(at, kPooledPage), at);
  ASSERT_EQ(map_at(at + kPooledPage, kPooledPage), at + kPooledPage);
  std::memset(at.ptr(), 0x5a, kPooledPage.n);
  if (!move_pages(at, at + kPooledPage, kPooledPage)) {
    EXPECT_EQ(static_cast<unsigned char*>(at.ptr())[12345], 0x5a);
  } else {
    EXPECT_EQ(static_cast<unsigned char*>(at.ptr())[kPooledPage.n + 12345], 0x5a);
  }
  EXPECT_TRUE(release(at, kPooledPage * 2));
}

// While the pool has pages, a child's are its own.
TEST_F(PooledTest, AChildHasItsOwnWhileThePoolHasPages) {
  NEEDS_POOL();
  const Addr at = hole(kPooledPage);
  ASSERT_EQ(map_pooled_at(at, kPooledPage), at);
  auto* bytes = static_cast<unsigned char*>(at.ptr());
  bytes[100] = 1;
  EXPECT_EQ(exit_of_child([bytes] {
              if (bytes[100] != 1) return 1;
              bytes[100] = 2;
              return bytes[100] == 2 ? 0 : 2;
            }),
            0);
  EXPECT_EQ(bytes[100], 1);
  EXPECT_TRUE(release(at, kPooledPage));
}

}  // namespace
}  // namespace ream::os
