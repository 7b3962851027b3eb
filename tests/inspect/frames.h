// Help for the tests of frames: made-up snapshots, and frames as strings.
#pragma once

#include <memory>
#include <random>
#include <string>

#include "inspect/frame.h"
#include "inspect/frame_encode.h"
#include "inspect/record.h"
#include "inspect/snapshot.h"

namespace ream::inspect {

// A snapshot that keeps the invariants, of numbers of all sizes.
inline std::unique_ptr<Snapshot> made_up_snapshot(unsigned seed, std::size_t groups) {
  std::mt19937_64 random(seed);
  const auto any = [&random] { return random() >> random() % 64; };
  auto s = std::make_unique<Snapshot>();
  s->library_version = {'9', '.', '8', '.', '7'};
  frame::visit_counters(s->counters, [&any](std::uint64_t& field) { field = any(); });
  s->counters.page_shift = 13;
  s->counters.map_log_pages = random() % 20;
  for (std::uint64_t c = 1; c < kMaxClasses; c += random() % 5 + 1) {
    ClassRow row;
    frame::visit_class(row, [&any](std::uint64_t& field) { field = any(); });
    row.size_class = c;
    s->classes.items[s->classes.count++] = row;
  }
  std::uint64_t page = 0;
  const std::uint64_t size = 1ull << s->counters.map_log_pages;
  for (std::size_t i = 0; i < groups; ++i) {
    page += (random() % 3 + 1) * size;
    MapGroup group{.first_page = page, .live_bytes = any()};
    group.in_use = static_cast<std::uint32_t>(random() % (size + 1));
    group.large = static_cast<std::uint32_t>(random() % (group.in_use + 1));
    group.free = static_cast<std::uint32_t>(random() % (size - group.in_use + 1));
    group.scavenged = static_cast<std::uint32_t>(size - group.in_use - group.free);
    s->map.items[s->map.count++] = group;
  }
  for (std::uint64_t bytes = 1 << 30; bytes > 1000; bytes /= 3) {
    add_large(*s, {.base = any(), .bytes = bytes, .requested_bytes = any()});
  }
  return s;
}

inline std::string encoded(const Snapshot& snapshot) {
  std::string out;
  const FrameSink sink{[](void* context, const void* bytes, std::size_t n) noexcept {
                         static_cast<std::string*>(context)->append(static_cast<const char*>(bytes),
                                                                    n);
                         return true;
                       },
                       &out};
  EXPECT_TRUE(encode(snapshot, sink));
  return out;
}

inline void put_u64(std::string& bytes, std::size_t at, std::uint64_t value) {
  for (unsigned i = 0; i < 8; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
}
inline void put_u32(std::string& bytes, std::size_t at, std::uint32_t value) {
  for (unsigned i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
}

// Corrects length and checksum, so that what else is wrong comes to light.
inline void seal(std::string& bytes) {
  put_u64(bytes, 16, bytes.size());
  const std::size_t end = bytes.size() - frame::kTrailerBytes;
  put_u64(bytes, end,
          frame::checksum(frame::kChecksumStart,
                          reinterpret_cast<const unsigned char*>(bytes.data()), end));
}

}  // namespace ream::inspect
