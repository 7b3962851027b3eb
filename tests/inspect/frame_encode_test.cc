#include "inspect/frame_encode.h"

#include <gtest/gtest.h>

#include "inspect/frames.h"

namespace ream::inspect {
namespace {

TEST(FrameEncode, BeginsAndEndsAsDocumented) {
  const auto snapshot = made_up_snapshot(1, 10);
  const std::string bytes = encoded(*snapshot);
  EXPECT_EQ(bytes.substr(0, 8), "REAMSNAP");
  EXPECT_EQ(bytes.substr(8, 8), std::string("\1\0\0\0\5\0\0\0", 8));
  EXPECT_EQ(bytes.substr(24, 4), "INFO");
  EXPECT_EQ(bytes.size(), encoded_bytes(*snapshot));
  std::string sealed = bytes;
  seal(sealed);
  EXPECT_EQ(sealed, bytes);
}

struct Sizes {
  std::size_t largest = 0;
  std::size_t pieces = 0;
  std::size_t fail_at = ~std::size_t{0};
};

FrameSink sink_of(Sizes& sizes) {
  return {[](void* context, const void*, std::size_t n) noexcept {
            auto& s = *static_cast<Sizes*>(context);
            s.largest = std::max(s.largest, n);
            return ++s.pieces <= s.fail_at;
          },
          &sizes};
}

TEST(FrameEncode, WritesSmallPieces) {
  Sizes sizes;
  EXPECT_TRUE(encode(*made_up_snapshot(2, 1000), sink_of(sizes)));
  EXPECT_LE(sizes.largest, kPieceBytes);
}

TEST(FrameEncode, StopsWhenTheSinkFails) {
  for (std::size_t fail_at = 0; fail_at < 10; ++fail_at) {
    Sizes sizes{.fail_at = fail_at};
    EXPECT_FALSE(encode(*made_up_snapshot(2, 1000), sink_of(sizes)));
    EXPECT_EQ(sizes.pieces, fail_at + 1);
  }
}

}  // namespace
}  // namespace ream::inspect
