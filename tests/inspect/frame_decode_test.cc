#include "inspect/frame_decode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "inspect/frames.h"

namespace ream::inspect {
namespace {

bool equal(const Snapshot& a, const Snapshot& b) {
  const auto same = [](const auto& x, const auto& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end());
  };
  return a.library_version == b.library_version && a.counters == b.counters &&
         same(a.classes, b.classes) && same(a.map, b.map) && same(a.large, b.large);
}

class FrameDecode : public testing::Test {
 protected:
  // The bytes lie at the very end of their memory, so that a sanitizer sees one read too far.
  DecodeError decode_exact(const std::string& bytes) {
    const auto exact = std::make_unique<char[]>(bytes.size());
    std::memcpy(exact.get(), bytes.data(), bytes.size());
    return decode(exact.get(), bytes.size(), *out_);
  }
  void expect_error(const std::string& bytes, const std::string& words, std::size_t offset) {
    const DecodeError error = decode_exact(bytes);
    ASSERT_TRUE(error) << words;
    EXPECT_NE(std::string(error.what).find(words), std::string::npos) << error.what;
    EXPECT_EQ(error.offset, offset) << error.what;
  }

  std::unique_ptr<Snapshot> out_ = std::make_unique<Snapshot>();
};

TEST_F(FrameDecode, RoundTrip) {
  for (unsigned seed = 1; seed < 30; ++seed) {
    const auto snapshot = made_up_snapshot(seed, seed * 10);
    const DecodeError error = decode_exact(encoded(*snapshot));
    ASSERT_FALSE(error) << error.what << " at " << error.offset;
    EXPECT_TRUE(equal(*snapshot, *out_));
  }
}

TEST_F(FrameDecode, FullSnapshot) {
  const auto snapshot = made_up_snapshot(4, Snapshot::kMaxGroups);
  ASSERT_FALSE(decode_exact(encoded(*snapshot)));
  EXPECT_TRUE(equal(*snapshot, *out_));
}

TEST_F(FrameDecode, EveryTruncationIsAnError) {
  const std::string bytes = encoded(*made_up_snapshot(1, 3));
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const DecodeError error = decode_exact(bytes.substr(0, n));
    ASSERT_TRUE(error) << n;
    EXPECT_EQ(error.offset, n);
  }
}

TEST_F(FrameDecode, EveryFlippedBitIsAnError) {
  const std::string bytes = encoded(*made_up_snapshot(1, 1));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string wrong = bytes;
    wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ 1 << bit % 8);
    EXPECT_TRUE(decode_exact(wrong)) << bit;
  }
}

TEST_F(FrameDecode, SaysWhatIsWrongAndWhere) {
  const auto snapshot = made_up_snapshot(1, 4);
  const std::string good = encoded(*snapshot);
  const auto with = [&good](auto change) {
    std::string bytes = good;
    change(bytes);
    seal(bytes);
    return bytes;
  };
  const std::size_t counters = 24 + 16 + 16;
  const std::size_t classes = counters + 16 + frame::kCountersBytes;
  const std::size_t map = classes + 16 + snapshot->classes.count * frame::kClassBytes;
  expect_error("", "too short", 0);
  expect_error(with([](std::string& b) { b[0] = 'X'; }), "not a frame", 0);
  expect_error(with([](std::string& b) { put_u32(b, 8, 2); }), "version", 8);
  expect_error(good + "x", "behind the frame", good.size());
  std::string no_sum = good;
  no_sum.back() = static_cast<char>(no_sum.back() ^ 1);
  expect_error(no_sum, "checksum", good.size() - 8);
  expect_error(with([](std::string& b) { put_u32(b, 12, 6); }), "a section is missing",
               good.size() - 8);
  expect_error(with([&](std::string& b) { put_u32(b, 12, 4); }), "behind the last section",
               map + 16 + 4 * frame::kGroupBytes);
  expect_error(with([&](std::string& b) { put_u32(b, counters, frame::kInfo); }), "comes twice",
               counters);
  expect_error(with([&](std::string& b) { put_u32(b, counters + 4, 0); }), "no bytes",
               counters + 4);
  expect_error(with([&](std::string& b) { put_u64(b, map + 8, ~0ull); }), "beyond the frame",
               map + 8);
  expect_error(with([&](std::string& b) { put_u64(b, counters + 16 + 8, 64); }), "page size",
               counters + 16);
  expect_error(with([&](std::string& b) { put_u64(b, classes + 16 + frame::kClassBytes, 1); }),
               "order", classes + 16 + frame::kClassBytes);
  expect_error(
      with([&](std::string& b) { put_u32(b, map + 16 + 2 * frame::kGroupBytes + 8, 0xffffffff); }),
      "a group of the map", map + 16 + 2 * frame::kGroupBytes);
}

// What later versions may add without a new number.
TEST_F(FrameDecode, SkipsUnknownSectionsAndLongerRecords) {
  const auto snapshot = made_up_snapshot(3, 0);
  std::string bytes = encoded(*snapshot);
  std::string extra(16 + 6, 'z');
  put_u32(extra, 0, frame::tag("NEWS"));
  put_u32(extra, 4, 3);
  put_u64(extra, 8, 2);
  bytes.insert(24, extra);
  put_u32(bytes, 12, 6);
  // The counters get another field.
  const std::size_t counters = 24 + extra.size() + 32;
  put_u32(bytes, counters + 4, frame::kCountersBytes + 8);
  bytes.insert(counters + 16 + frame::kCountersBytes, 8, 'c');
  seal(bytes);
  const DecodeError error = decode_exact(bytes);
  ASSERT_FALSE(error) << error.what << " at " << error.offset;
  EXPECT_TRUE(equal(*snapshot, *out_));
}

// Random damage with a checksum that is right: an error, or a snapshot that keeps its invariants
// and is encoded to something that decodes to the same.
TEST_F(FrameDecode, SurvivesMutations) {
  std::mt19937_64 random(2024);
  const std::string good = encoded(*made_up_snapshot(1, 20));
  unsigned accepted = 0;
  for (int i = 0; i < 30'000; ++i) {
    std::string bytes = good;
    for (auto n = random() % 4 + 1; n > 0; --n) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 5) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = static_cast<char>(bytes[at] ^ 1 << random() % 8);
          break;
        case 2:
          bytes.erase(at, random() % 40);
          break;
        case 3:
          bytes.insert(at, random() % 40, static_cast<char>(random()));
          break;
        default:
          if (at + 8 <= bytes.size()) put_u64(bytes, at, random() >> random() % 64);
      }
      if (bytes.size() < 32) bytes.resize(32);
    }
    if (random() % 8 != 0) seal(bytes);
    const DecodeError error = decode_exact(bytes);
    if (error) {
      ASSERT_LE(error.offset, bytes.size());
      continue;
    }
    ++accepted;
    const auto first = std::make_unique<Snapshot>(*out_);
    ASSERT_FALSE(decode_exact(encoded(*first)));
    ASSERT_TRUE(equal(*first, *out_));
  }
  EXPECT_GT(accepted, 1000u);
}

}  // namespace
}  // namespace ream::inspect
