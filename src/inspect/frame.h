// The frame: a snapshot as bytes, for a file or a socket. docs/seeing-the-heap.md tells the same
// for people who write a reader of their own.
//
//   header   "REAMSNAP" | version u32 = 1 | sections u32 | length u64 of the whole frame
//   section  tag u32 | record_bytes u32 | records u64 | records * record_bytes bytes
//   ...
//   trailer  checksum u64: FNV-1a of all bytes before it
//
// Numbers are little-endian. A record is a sequence of u64, in the order of the struct's fields in
// snapshot.h, except INFO, which is the library's version as 16 bytes of text, and except the four
// u32 of a map group. Sections, each at most once, in any order:
//
//   INFO  1 record                     MAPG  the map's groups
//   CTRS  1 record, Counters           LARG  the biggest large objects
//   CLAS  the size classes in use
//
// Compatibility within a version: a decoder skips sections with tags that it does not know, and the
// end of records that are longer than those it knows. So fields are only ever added, at the end.
//
// Thread safety: constants.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ream::inspect::frame {

inline constexpr char kMagic[8] = {'R', 'E', 'A', 'M', 'S', 'N', 'A', 'P'};
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::size_t kHeaderBytes = 24;
inline constexpr std::size_t kSectionBytes = 16;
inline constexpr std::size_t kTrailerBytes = 8;

constexpr std::uint32_t tag(const char (&text)[5]) noexcept {
  std::uint32_t value = 0;
  for (unsigned i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(text[i]);
  return value;
}

inline constexpr std::uint32_t kInfo = tag("INFO");
inline constexpr std::uint32_t kCounters = tag("CTRS");
inline constexpr std::uint32_t kClasses = tag("CLAS");
inline constexpr std::uint32_t kMap = tag("MAPG");
inline constexpr std::uint32_t kLarge = tag("LARG");

inline constexpr std::uint32_t kInfoBytes = 16;
inline constexpr std::uint32_t kCountersBytes = 22 * 8;
inline constexpr std::uint32_t kClassBytes = 9 * 8;
inline constexpr std::uint32_t kGroupBytes = 8 + 4 * 4 + 8;
inline constexpr std::uint32_t kLargeBytes = 3 * 8;

// FNV-1a, 64 bits: h is what came before.
inline constexpr std::uint64_t kChecksumStart = 0xcbf29ce484222325;
constexpr std::uint64_t checksum(std::uint64_t h, const unsigned char* bytes,
                                 std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) h = (h ^ bytes[i]) * 0x100000001b3;
  return h;
}

}  // namespace ream::inspect::frame
