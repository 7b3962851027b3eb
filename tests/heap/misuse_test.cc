// Each misuse ends the program with its text.
#include "heap/misuse.h"

#include <gtest/gtest.h>

#include <string>

#include "heap/heap.h"

namespace ream {
namespace {

std::string text(const char* what, const void* at) {
  char line[128];
  std::snprintf(line, sizeof line, "^ream: %s: %p\n$", what, at);
  return line;
}
void* at(void* p, std::ptrdiff_t offset) { return static_cast<char*>(p) + offset; }

// An entry point and its messages.
struct Entry {
  void (*call)(void*);
  MisuseTexts texts;
};
const Entry kEntries[] = {
    {[](void* p) { g_heap.free(p); }, kFreeTexts},
    {[](void* p) { g_heap.free_sized(p, 1); }, kFreeTexts},
    {[](void* p) { static_cast<void>(g_heap.reallocate(p, 10)); }, kReallocTexts},
    {[](void* p) { static_cast<void>(g_heap.usable_size(p)); }, kUsableTexts},
};

class MisuseDeathTest : public testing::TestWithParam<Entry> {
 protected:
  void expect_end(const char* what, void* p) {
    EXPECT_EXIT(GetParam().call(p), testing::KilledBySignal(SIGABRT), text(what, p));
  }
  void* make(std::size_t bytes) {
    void* p = g_heap.allocate(bytes);
    EXPECT_NE(p, nullptr);
    return p;
  }
};
INSTANTIATE_TEST_SUITE_P(Calls, MisuseDeathTest, testing::ValuesIn(kEntries));

TEST_P(MisuseDeathTest, FreedObjectOnTopOfTheCache) {
  void* p = make(100);
  g_heap.free(p);
  expect_end(GetParam().texts.freed, p);
}

TEST_P(MisuseDeathTest, FreedObjectBuriedInTheCache) {
  void* p = make(100);
  void* q = make(100);
  g_heap.free(p);
  g_heap.free(q);
  expect_end(GetParam().texts.freed, p);
}

TEST_P(MisuseDeathTest, FreedObjectBackInItsSpan) {
  void* p = make(100);
  void* stays = make(100);
  g_heap.free(p);
  g_heap.trim();
  expect_end(GetParam().texts.freed, p);
  g_heap.free(stays);
}

TEST_P(MisuseDeathTest, FreedLargeObject) {
  void* p = make(5 << 20);
  g_heap.free(p);
  expect_end(GetParam().texts.freed, p);
}

TEST_P(MisuseDeathTest, InsideASmallObject) {
  void* p = make(100);
  for (const std::ptrdiff_t offset : {1, 8, 16, 111})
    expect_end(GetParam().texts.interior, at(p, offset));
  g_heap.free(p);
}

TEST_P(MisuseDeathTest, InsideALargeObject) {
  void* p = make(9 << 20);
  for (const std::ptrdiff_t offset : {1, 16, 8192, 4 << 20, (9 << 20) - 16})
    expect_end(GetParam().texts.interior, at(p, offset));
  g_heap.free(p);
}

TEST_P(MisuseDeathTest, TheTailOfASpan) {
  void* p = make(48);  // 170 objects leave 32 bytes
  const Span* span = g_heap.span_of(p);
  expect_end(GetParam().texts.interior, Addr(span->base + 170 * 48).ptr());
  expect_end(GetParam().texts.interior, Addr(span->base + 170 * 48 + 16).ptr());
  g_heap.free(p);
}

TEST_P(MisuseDeathTest, ForeignMemory) {
  g_heap.free(make(1));
  int on_stack = 0;
  static int global = 0;
  for (void* p : {static_cast<void*>(&on_stack), static_cast<void*>(&global), Addr(1).ptr(),
                  Addr(~0ULL).ptr(), Addr(1ULL << 63).ptr(), Addr(0xffff'8000'0000'0000).ptr()})
    expect_end(GetParam().texts.foreign, p);
}

// Even where nothing was allocated yet, the message is seen.
TEST_P(MisuseDeathTest, TheFirstCallOfTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own, that runs this test only
  expect_end(GetParam().texts.foreign, Addr(64).ptr());
}

TEST(MisuseSizeDeathTest, FreeSizedThatCannotHoldTheSize) {
  void* p = g_heap.allocate(100);
  EXPECT_EXIT(g_heap.free_sized(p, 113), testing::KilledBySignal(SIGABRT),
              text("free_sized with a wrong size", p));
  g_heap.free_sized(p, 112);
}

}  // namespace
}  // namespace ream
