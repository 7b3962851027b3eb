// Reads a heap through its root, from any memory source: pages, spans, counters. The heap may be
// that of a process that runs on meanwhile, so everything read may be torn: half old, half new.
//
//   Reader reader;
//   if (reader.open(source, root_address) != OpenResult::kOk) ...
//   while (reader.next_chunk(chunk))
//     while (reader.next_span(span)) ...      // that begin in this chunk
//
// Nothing read is believed: every pointer is only ever handed to the source, every number is
// checked before it becomes an index or a bound of a loop, and what contradicts itself is skipped
// and counted (torn()). Walks go up in addresses and never back, and end after kMaxChunks chunks or
// kMaxTorn contradictions, whatever the source says.
//
// Thread safety: a reader belongs to one thread. It takes no lock of the heap that it reads.
//
// Lifetime: about 10 KiB, holds no memory; constant-initialised if static.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "inspect/memory_source.h"
#include "inspect/root.h"

namespace ream::inspect {

enum class OpenResult : std::uint8_t {
  kOk,
  kUnreadable,    // the source does not have it
  kNoRoot,        // something else lies there
  kOtherVersion,  // a root of a version that this reader does not know
  kBadRoot,       // its numbers make no sense
};

inline constexpr unsigned kChunkLogPages = 9;
inline constexpr unsigned kChunkBits = 1u << kChunkLogPages;  // pages of a chunk
inline constexpr unsigned kChunkBitWords = kChunkBits / 64;
inline constexpr unsigned kMaxClasses = 128;

struct ChunkView {
  std::uint64_t base = 0;
  bool leased = false;
  std::array<std::uint64_t, kChunkBitWords> used{};    // in use
  std::array<std::uint64_t, kChunkBitWords> backed{};  // in use, or free with memory behind it

  // Free and given back.
  [[nodiscard]] std::uint64_t scavenged_word(unsigned w) const noexcept {
    return ~(used[w] | backed[w]);
  }
  [[nodiscard]] std::uint64_t free_word(unsigned w) const noexcept { return backed[w] & ~used[w]; }
};

struct SpanView {
  std::uint64_t base = 0;
  std::uint64_t pages = 0;
  std::uint64_t object_bytes = 0;     // of a large object: all its pages
  std::uint64_t requested_bytes = 0;  // large objects
  std::uint32_t size_class = 0;       // 0: a large object
  std::uint32_t objects = 0;
  std::uint32_t live = 0;
  std::uint32_t cached = 0;  // in thread caches
  [[nodiscard]] std::uint32_t free() const noexcept { return objects - live - cached; }
};

struct CounterView {
  std::uint64_t in_use_pages = 0;
  std::uint64_t peak_in_use_bytes = 0;
  std::uint64_t large_mallocs = 0;
  std::uint64_t large_frees = 0;
  std::uint64_t purged_bytes = 0;
  std::uint64_t large_hits = 0;  // large objects served from the cache of large spans
  std::uint64_t metadata_bytes = 0;
  std::uint64_t threads = 0;                       // with a cache
  std::array<std::uint64_t, kMaxClasses> frees{};  // by class, over time
};

class Reader {
 public:
  static constexpr std::uint64_t kMaxChunks = std::uint64_t{1} << 24;
  static constexpr std::uint64_t kMaxTorn = 1 << 16;

  [[nodiscard]] OpenResult open(const MemorySource& source, std::uint64_t root_address) noexcept;

  // The root read by open; its text ends in a zero.
  [[nodiscard]] const RootV1& root() const noexcept { return root_; }
  [[nodiscard]] std::uint64_t page_bytes() const noexcept { return 1ULL << root_.page_shift; }
  // 0 for classes that do not exist, and for large objects.
  [[nodiscard]] std::uint32_t class_bytes(std::uint32_t c) const noexcept {
    return c < root_.class_count ? class_bytes_[c] : 0;
  }

  // The next grown chunk, in address order. False at the end.
  [[nodiscard]] bool next_chunk(ChunkView& chunk) noexcept;
  // The next span that begins in the chunk that next_chunk gave last, in address order. False when
  // there is no other.
  [[nodiscard]] bool next_span(SpanView& span) noexcept;

  // False when they cannot be read at all; parts that cannot are 0 and count as torn.
  [[nodiscard]] bool read_counters(CounterView& counters) noexcept;

  // Contradictions and unreadable parts met so far.
  [[nodiscard]] std::uint64_t torn() const noexcept { return torn_; }

 private:
  struct Range {
    std::uint64_t base;  // from the window's base
    std::uint64_t limit;
  };

  [[nodiscard]] bool root_makes_sense() const noexcept;
  [[nodiscard]] bool read_classes() noexcept;

  [[nodiscard]] std::uint64_t heap_at(std::uint64_t offset) const noexcept {
    return reinterpret_cast<std::uintptr_t>(root_.heap) + offset;
  }
  [[nodiscard]] std::uint64_t window_at(std::uint32_t offset) const noexcept {
    return heap_at(root_.heap_windows) + std::uint64_t{window_} * root_.window_stride + offset;
  }
  template <class T>
  [[nodiscard]] bool read(std::uint64_t address, T& value) noexcept;
  template <class T>
  [[nodiscard]] T read_or_zero(std::uint64_t address) noexcept;

  [[nodiscard]] bool enter_window() noexcept;
  [[nodiscard]] bool find_range() noexcept;
  [[nodiscard]] bool is_possible(const Range& range) const noexcept;
  [[nodiscard]] bool read_chunk(ChunkView& chunk) noexcept;
  [[nodiscard]] bool read_map_slice(std::uint64_t base) noexcept;
  [[nodiscard]] bool read_span(std::uint64_t address, std::uint64_t base, SpanView& span) noexcept;
  [[nodiscard]] bool count_states(std::uint64_t address, SpanView& span) noexcept;
  void add_cache_frees(std::uint64_t cache, CounterView& counters) noexcept;
  [[nodiscard]] bool gives_up() const noexcept {
    return torn_ >= kMaxTorn || chunks_ >= kMaxChunks;
  }

  MemorySource source_{};
  RootV1 root_{};
  std::array<std::uint32_t, kMaxClasses> class_bytes_{};
  std::uint64_t torn_ = 0;
  std::uint64_t chunks_ = 0;

  // The walk over chunks: a window, and in it the range that holds the next chunk.
  std::uint32_t window_ = 0;
  bool in_window_ = false;
  std::uint64_t window_base_ = 0;
  std::uint64_t next_offset_ = 0;  // nothing below it is to be visited any more
  std::uint64_t range_end_ = 0;

  // The walk over the spans of a chunk.
  std::uint64_t chunk_base_ = 0;
  unsigned next_page_ = 0;
  std::array<std::uint64_t, kChunkBits> map_slice_{};

  alignas(8) std::array<unsigned char, 4096> buffer_{};
};

}  // namespace ream::inspect
