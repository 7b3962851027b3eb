// mallinfo, mallinfo2, malloc_info, malloc_stats, malloc_trim and mallopt.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "abi/hide.h"
#include "gtest/gtest.h"

namespace abi_test {
namespace {

std::size_t live_bytes() { return mallinfo2().uordblks; }

// True for a document of nested elements with quoted attributes: enough of XML for malloc_info.
bool is_well_formed(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    const std::size_t end = text.find('>', at);
    if (end == std::string::npos) return false;
    std::string tag = text.substr(at + 1, end - at - 1);
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0) return false;
    const bool alone = !tag.empty() && tag.back() == '/';
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '/') {
      if (open.empty() || "/" + open.back() != tag) return false;
      open.pop_back();
      if (open.empty()) return text.find('<', end) == std::string::npos;
    } else if (!alone) {
      open.push_back(name);
    }
  }
  return false;
}

TEST(IsWellFormed, TellsGoodFromBad) {
  EXPECT_TRUE(is_well_formed("<a b=\"1\"><c/><d x=\"y\"></d></a>\n"));
  for (const char* bad : {"", "text", "<a>", "<a></b>", "<a><b></a></b>", "<a b=\"></a>", "<a",
                          "</a>", "<a></a><b></b>"}) {
    EXPECT_FALSE(is_well_formed(bad)) << bad;
  }
}

TEST(Mallinfo, LiveBytesFollowAllocation) {
  for (const std::size_t n : {std::size_t{1000}, std::size_t{100000}, std::size_t{4} << 20}) {
    const std::size_t count = (16u << 20) / n;
    const std::size_t before = live_bytes();
    std::vector<void*> blocks;
    blocks.reserve(count);
    for (std::size_t i = 0; i < count; ++i) blocks.push_back(hide(std::malloc(n)));
    const std::size_t during = live_bytes();
    for (void* p : blocks) std::free(p);
    const std::size_t after = live_bytes();
    const std::size_t took = count * n;
    // glibc counts blocks that are mapped singly in hblkhd; ream counts all in uordblks.
    EXPECT_GE(during, before + took) << n;
    EXPECT_LE(during, before + took + took / 4 + (1 << 20)) << n;
    EXPECT_LE(after, before + (1 << 20)) << n;
  }
}

TEST(Mallinfo, PartsAddUp) {
  std::vector<void*> blocks;
  for (std::size_t i = 0; i < 5000; ++i) blocks.push_back(hide(std::malloc(i * 10)));
  for (std::size_t i = 0; i < 5000; i += 2) {
    std::free(blocks[i]);
    blocks[i] = nullptr;
  }
  const struct mallinfo2 info = mallinfo2();
  EXPECT_EQ(info.arena + info.hblkhd, info.uordblks + info.fordblks);
  EXPECT_LE(info.keepcost, info.arena + info.hblkhd);
  for (void* p : blocks) std::free(p);
}

TEST(Mallinfo, OldFormIsTheSameInInts) {
  const struct mallinfo2 wide = mallinfo2();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  const struct mallinfo info = mallinfo();
#pragma GCC diagnostic pop
  if (wide.uordblks < INT_MAX) {
    EXPECT_EQ(wide.uordblks, static_cast<std::size_t>(info.uordblks));
  }
  EXPECT_GE(info.arena, 0);
}

TEST(MallocInfo, WritesOneXmlDocument) {
  char* text = nullptr;
  std::size_t length = 0;
  std::FILE* stream = open_memstream(&text, &length);
  EXPECT_EQ(0, malloc_info(0, stream));
  std::fclose(stream);
  EXPECT_TRUE(is_well_formed(text)) << text;
  EXPECT_EQ(0u, std::string(text).find("<malloc version=\"1\"")) << text;
  std::free(text);
}

TEST(MallocInfo, RefusesOtherOptions) {
  errno = 0;
  EXPECT_NE(0, malloc_info(1, stderr));
  EXPECT_EQ(EINVAL, errno);
}

TEST(MallocStats, WritesToStandardErrorOnly) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  malloc_stats();
  EXPECT_EQ("", testing::internal::GetCapturedStdout());
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(std::string::npos, text.find('\n'));
  EXPECT_NE(std::string::npos, text.find_first_of("0123456789")) << text;
}

// 1 when memory went back, 0 when there was none to give: right after another trim.
TEST(MallocTrim, TellsWhetherMemoryWentBack) {
  // 256 MB touched and freed at once, so the pace of giving back by itself
  // cannot have been done with all of it.
  std::vector<void*> blocks;
  for (int i = 0; i < 256; ++i) {
    blocks.push_back(hide(std::malloc(1 << 20)));
    std::memset(blocks.back(), 1, 1 << 20);
  }
  for (void* p : blocks) std::free(p);
  const int first = malloc_trim(0);
  EXPECT_TRUE(first == 0 || first == 1);
  // A background worker may be at it; then again there is something or there is not.
  int again = 1;
  for (int i = 0; i < 100 && again == 1; ++i) again = malloc_trim(0);
  EXPECT_EQ(0, again);
}

TEST(MallocTrim, ResidentMemoryFalls) {
  const auto resident = [] {
    unsigned long total = 0;
    unsigned long pages = 0;
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    EXPECT_EQ(2, std::fscanf(file, "%lu %lu", &total, &pages));
    std::fclose(file);
    return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  };
  const std::size_t before = resident();
  std::vector<void*> blocks;
  for (int i = 0; i < 100000; ++i) {
    blocks.push_back(hide(std::malloc(1000)));
    std::memset(blocks.back(), 1, 1000);
  }
  EXPECT_GT(resident(), before + (80u << 20));
  for (void* p : blocks) std::free(p);
  malloc_trim(0);
  EXPECT_LT(resident(), before + (16u << 20));
}

TEST(Mallopt, KnowsGlibcsParameters) {
  for (const int parameter : {M_MXFAST, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX,
                              M_CHECK_ACTION, M_PERTURB, M_ARENA_TEST, M_ARENA_MAX}) {
    EXPECT_EQ(1, mallopt(parameter, 64)) << parameter;
  }
  for (const int parameter : {-1000, 12345, INT_MAX, INT_MIN}) {
    EXPECT_EQ(0, mallopt(parameter, 1)) << parameter;
  }
}

}  // namespace
}  // namespace abi_test
