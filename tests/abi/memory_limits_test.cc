// Memory limits and pressure callbacks of the C API, from C++. What needs a heap of a certain size
// is in limited.c.
#include <gtest/gtest.h>
#include <ream/ream.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "abi/hide.h"

namespace abi_test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

struct Limits {
  std::size_t soft = 1;
  std::size_t hard = 1;
};
Limits limits() {
  Limits l;
  ream_get_memory_limit(&l.soft, &l.hard);
  return l;
}

class MemoryLimitsTest : public testing::Test {
 protected:
  ~MemoryLimitsTest() override { EXPECT_EQ(ream_set_memory_limit(0, 0), 0); }
};

TEST_F(MemoryLimitsTest, ThereIsNoneAtFirst) {
  EXPECT_EQ(limits().soft, 0u);
  EXPECT_EQ(limits().hard, 0u);
  ream_get_memory_limit(nullptr, nullptr);
}

TEST_F(MemoryLimitsTest, AreSetTogether) {
  EXPECT_EQ(ream_set_memory_limit(SIZE_MAX - 1, SIZE_MAX), 0);
  EXPECT_EQ(limits().soft, SIZE_MAX - 1);
  EXPECT_EQ(limits().hard, SIZE_MAX);
  errno = 0;
  EXPECT_EQ(ream_set_memory_limit(3, 2), EINVAL);
  EXPECT_EQ(errno, 0);
  EXPECT_EQ(limits().hard, SIZE_MAX);
  EXPECT_EQ(ream_set_memory_limit(SIZE_MAX, 0), 0);
  EXPECT_EQ(limits().soft, SIZE_MAX);
  EXPECT_EQ(limits().hard, 0u);
}

TEST_F(MemoryLimitsTest, InUseFollowsWhatThereIs) {
  const std::size_t before = ream_memory_in_use();
  EXPECT_GT(before, 0u);
  void* p = hide(std::malloc(100 * kMiB));
  EXPECT_GE(ream_memory_in_use(), before + 100 * kMiB);
  std::free(p);
  EXPECT_GE(ream_purge(), 90 * kMiB);
  EXPECT_LT(ream_memory_in_use(), before + 10 * kMiB);
}

TEST_F(MemoryLimitsTest, NewThrowsAtTheLimit) {
  ASSERT_EQ(ream_set_memory_limit(0, ream_memory_in_use() + 10 * kMiB), 0);
  EXPECT_THROW(::operator delete(hide(::operator new(20 * kMiB))), std::bad_alloc);
  EXPECT_EQ(::operator new(20 * kMiB, std::nothrow), nullptr);
  ::operator delete(hide(::operator new(5 * kMiB)));
}

void nothing(ream_pressure, std::size_t, void*) {}

TEST_F(MemoryLimitsTest, CallbacksComeAndGo) {
  EXPECT_EQ(ream_on_pressure(nullptr, nullptr), EINVAL);
  EXPECT_EQ(ream_off_pressure(nullptr, nullptr), EINVAL);
  EXPECT_EQ(ream_off_pressure(nothing, nullptr), EINVAL);
  int arg = 0;
  for (int i = 0; i < 64; ++i) EXPECT_EQ(ream_on_pressure(nothing, &arg), 0);
  EXPECT_EQ(ream_on_pressure(nothing, &arg), ENOMEM);
  EXPECT_EQ(ream_off_pressure(nothing, nullptr), EINVAL);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(ream_off_pressure(nothing, &arg), 0);
  EXPECT_EQ(ream_off_pressure(nothing, &arg), EINVAL);
}

struct Spare {
  void* memory = nullptr;
  std::size_t wanted = 0;
  unsigned calls = 0;
};

void free_spare(ream_pressure level, std::size_t wanted, void* arg) {
  if (level != REAM_PRESSURE_HARD) return;
  auto& spare = *static_cast<Spare*>(arg);
  ++spare.calls;
  spare.wanted = wanted;
  std::free(spare.memory);
  spare.memory = nullptr;
}

TEST_F(MemoryLimitsTest, ACallbackMakesRoomForTheRequestThatWaits) {
  ream_purge();
  Spare spare;
  spare.memory = std::malloc(50 * kMiB);
  ASSERT_EQ(ream_on_pressure(free_spare, &spare), 0);
  ASSERT_EQ(ream_set_memory_limit(0, ream_memory_in_use() + 20 * kMiB), 0);
  void* p = hide(std::malloc(60 * kMiB));
  EXPECT_NE(p, nullptr);
  EXPECT_EQ(spare.calls, 1u);
  EXPECT_GE(spare.wanted, 39 * kMiB);
  EXPECT_LE(spare.wanted, 41 * kMiB);
  errno = 0;
  EXPECT_EQ(hide(std::malloc(60 * kMiB)), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(spare.calls, 2u);
  std::free(p);
  EXPECT_EQ(ream_off_pressure(free_spare, &spare), 0);
}

// Nearly empty spans hold little; what they hold no longer must not stand in the way.
TEST_F(MemoryLimitsTest, MemoryInsideSparseSpansIsReclaimedBeforeARefusal) {
  std::vector<void*> kept, freed;
  for (std::size_t i = 0; i < 100 * kMiB / 4000; ++i) {
    void* p = std::malloc(4000);
    std::memset(p, 1, 4000);
    (i % 16 == 0 ? kept : freed).push_back(p);
  }
  ASSERT_EQ(ream_set_memory_limit(0, ream_memory_in_use() + kMiB), 0);
  for (void* p : freed) std::free(p);
  std::vector<void*> others;
  for (std::size_t i = 0; i < 80 * kMiB / 300; ++i) {
    others.push_back(std::malloc(300));
    ASSERT_NE(others.back(), nullptr) << i;
  }
  void* large = hide(std::malloc(4 * kMiB));
  EXPECT_NE(large, nullptr);
  std::free(large);
  for (void* p : others) std::free(p);
  for (void* p : kept) std::free(p);
}

}  // namespace
}  // namespace abi_test
