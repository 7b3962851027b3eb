#include "base/format.h"

#include <gtest/gtest.h>

#include <string>

namespace ream {
namespace {

template <std::size_t n>
std::string text_of(const TextBuffer<n>& buffer) {
  return {buffer.data(), buffer.size()};
}

TEST(Format, WordsAndNumbers) {
  TextBuffer<100> b;
  b.text("free of ").hex(0xdeadbeef).text(", ").dec(0).text(" and ").dec(~0ULL).text(" ").hex(0);
  EXPECT_EQ(text_of(b), "free of 0xdeadbeef, 0 and 18446744073709551615 0x0");
}

TEST(Format, TheLargestHexadecimalNumber) {
  TextBuffer<20> b;
  EXPECT_EQ(text_of(b.hex(~0ULL)), "0xffffffffffffffff");
}

TEST(Format, IsCutAtTheEnd) {
  TextBuffer<5> b;
  b.text("abc").dec(12345).text("x");
  EXPECT_EQ(text_of(b), "abc12");
}

}  // namespace
}  // namespace ream
