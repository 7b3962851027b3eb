// The search for holes, beyond what memory_test.cc asks of every OS: a crowded address space, and
// many lines of /proc/self/maps (more than one piece of its buffer).
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "base/bits.h"
#include "os/child.h"
#include "os/memory.h"
#include "os/sanitized.h"

namespace ream::os {
namespace {

struct Mapping {
  std::uint64_t begin, end;
};

std::vector<Mapping> mappings() {
  std::vector<Mapping> all;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    all.push_back({std::stoull(line, nullptr, 16),
                   std::stoull(line.substr(line.find('-') + 1), nullptr, 16)});
    if (line.ends_with("[stack]")) all.back().begin -= 16 << 20;
  }
  return all;
}

// Nothing may be mapped in the answer, and nothing that fits may lie between the hint and it.
TEST(AddressSpaceTest, AnswersAreTheLowestHoles) {
  std::mt19937_64 random(1);
  const Bytes page = os_page_size();
  std::vector<MemoryRange> ours;
  for (unsigned i = 0; i < 300; ++i) {  // scattered reservations, from the kernel's choice of place
    const Bytes bytes = page * (1 + random() % 64);
    const Addr base = reserve(bytes, page);
    ASSERT_NE(base, Addr());
    ours.push_back({base, bytes});
    if (random() % 3 == 0) {
      const std::size_t victim = random() % ours.size();
      ASSERT_TRUE(release(ours[victim].base, ours[victim].bytes));
      ours.erase(ours.begin() + static_cast<std::ptrdiff_t>(victim));
    }
  }
  ASSERT_TRUE(!ours.empty());
  std::vector<Mapping> before = mappings();
  for (unsigned i = 0; i < 100; ++i) {
    const Bytes bytes = page * (1 + random() % 128);
    const Bytes align = page * (1ULL << random() % 6);
    const Addr hint = ours[random() % ours.size()].base + page * (random() % 64);
    const Addr hole = find_unmapped(bytes, align, hint);
    if (hole == Addr()) continue;
    ASSERT_GE(hole, hint);
    ASSERT_TRUE(is_aligned(hole.n, align.n));
    std::uint64_t at = round_up(hint.n, align.n);
    for (const Mapping& m : before) {
      EXPECT_TRUE(m.end <= hole.n || hole.n + bytes.n <= m.begin);
      if (m.end <= at || m.begin >= hole.n) continue;
      EXPECT_GT(at + bytes.n, m.begin) << "a lower hole was missed";
      at = round_up(m.end, align.n);
    }
    EXPECT_EQ(at, hole.n);
  }
  for (const MemoryRange& r : ours) EXPECT_TRUE(release(r.base, r.bytes));
}

TEST(AddressSpaceTest, LeavesTheStackRoomToGrow) {
  rlimit stack{};
  ASSERT_EQ(::getrlimit(RLIMIT_STACK, &stack), 0);
  const std::uint64_t room = std::min<std::uint64_t>(stack.rlim_cur, 1 << 30);
  std::ifstream maps("/proc/self/maps");
  std::uint64_t begin = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.ends_with("[stack]")) begin = std::stoull(line, nullptr, 16);
  }
  if (begin == 0) GTEST_SKIP() << "no stack line";
  const Addr below(round_down(begin - room / 2, 65536));
  const Addr hole = find_unmapped(64_KiB, 64_KiB, below);
  EXPECT_TRUE(hole == Addr() || hole.n >= begin)
      << std::hex << hole.n << " in the room below " << begin;
}

// A process in which no file can be opened has to probe.
TEST(AddressSpaceTest, ProbesWhereMapsCannotBeRead) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer does not let it map far from its own memory";
  EXPECT_EQ(exit_of_child([] {
              const Addr start(0x2000'0000'0000);
              const rlimit none{0, 0};
              if (::setrlimit(RLIMIT_NOFILE, &none) != 0) return 0;
              const Addr first = find_unmapped(1_MiB, 1_MiB, start);
              if (first == Addr()) return 1;
              if (map_at(first, 1_MiB) != first) return 2;
              const Addr second = find_unmapped(1_MiB, 1_MiB, first);
              if (second == Addr() || second < first + 1_MiB) return 3;
              if (!is_aligned(second.n, 1u << 20)) return 4;
              return map_at(second, 1_MiB) == second ? 0 : 5;
            }),
            0);
}

TEST(AddressSpaceTest, LimitIsBeyondEverythingOfOurs) {
  int local = 0;
  EXPECT_LT(Addr(&local), user_address_limit());
  EXPECT_TRUE(is_aligned(user_address_limit().n, os_page_size().n));
}

}  // namespace
}  // namespace ream::os
