#include "inspect/snapshot.h"

#include <algorithm>
#include <bit>

namespace ream::inspect {
namespace {

// What the pages of one chunk hold.
struct ChunkPages {
  std::array<std::uint64_t, kChunkBits> live_bytes;  // by page
  std::array<std::uint64_t, kChunkBitWords> large;   // a bit a page
};

// A walk over the chunks and spans of a heap, adding up.
class Collector {
 public:
  Collector(Reader& reader, Snapshot& snapshot) noexcept
      : reader_(reader), out_(snapshot), shift_(reader.root().page_shift) {}

  void walk() noexcept {
    ChunkView chunk;
    while (reader_.next_chunk(chunk)) {
      pages_.live_bytes.fill(0);
      pages_.large.fill(0);
      put(tail_, chunk.base);
      SpanView span;
      while (reader_.next_span(span)) {
        count(span);
        put(span, chunk.base);
      }
      add_to_map(chunk);
    }
  }

 private:
  void count(const SpanView& span) noexcept {
    ++out_.counters.spans;
    if (span.size_class == 0) {
      const std::uint64_t bytes = span.pages << shift_;
      out_.counters.large_objects += span.live;
      out_.counters.large_live += span.live * bytes;
      out_.counters.cached += span.cached * bytes;
      out_.counters.frees += span.cached;
      if (span.live != 0) add_large(out_, {span.base, bytes, span.requested_bytes});
      return;
    }
    ClassRow& row = out_.classes.items[span.size_class];
    row.live += span.live;
    row.cached += span.cached;
    row.free += span.free();
    row.spans += 1;
    row.span_bytes += span.pages << shift_;
  }

  // Notes the part of a span that lies in the chunk; what reaches beyond waits for the next ones.
  void put(const SpanView& span, std::uint64_t chunk_base) noexcept {
    const std::uint64_t begin = std::max(span.base, chunk_base);
    const std::uint64_t end = span.base + (span.pages << shift_);
    const std::uint64_t chunk_end = chunk_base + (std::uint64_t{kChunkBits} << shift_);
    const std::uint64_t each = span.pages == 0 ? 0 : span.live * span.object_bytes / span.pages;
    const auto first = begin >> shift_;
    const auto last = std::min(end, chunk_end) >> shift_;
    for (std::uint64_t page = first; page < last; ++page) {
      const auto i = static_cast<unsigned>(page & (kChunkBits - 1));
      pages_.live_bytes[i] = each;
      if (span.size_class == 0) pages_.large[i / 64] |= 1ULL << (i % 64);
    }
    if (end > chunk_end) tail_ = span;
  }

  void add_to_map(const ChunkView& chunk) noexcept {
    const std::uint64_t chunk_page = chunk.base >> shift_;
    for (unsigned i = 0; i < kChunkBits;) {
      // The map's groups may double while the chunk is being added: what goes in at once may not
      // reach over the end of such a group.
      const std::uint64_t log = std::min<std::uint64_t>(
          out_.counters.map_log_pages, static_cast<unsigned>(std::countr_zero(i | kChunkBits)));
      const unsigned n = 1u << log;
      MapGroup group{.first_page = chunk_page + i};
      for (unsigned page = i; page < i + n; ++page) add_page(chunk, page, group);
      add_group(out_, group);
      i += n;
    }
  }

  void add_page(const ChunkView& chunk, unsigned page, MapGroup& group) noexcept {
    const unsigned word = page / 64;
    const std::uint64_t bit = 1ULL << (page % 64);
    if ((chunk.used[word] & bit) != 0) {
      ++group.in_use;
      if ((pages_.large[word] & bit) != 0) ++group.large;
      group.live_bytes += pages_.live_bytes[page];
    } else if ((chunk.backed[word] & bit) != 0) {
      ++group.free;
    } else {
      ++group.scavenged;
    }
  }

  Reader& reader_;
  Snapshot& out_;
  const unsigned shift_;
  SpanView tail_{};  // reaches beyond the chunk that was visited last
  ChunkPages pages_{};
};

void join(MapGroup& into, const MapGroup& from) noexcept {
  into.in_use += from.in_use;
  into.large += from.large;
  into.free += from.free;
  into.scavenged += from.scavenged;
  into.live_bytes += from.live_bytes;
}

void coarsen(Snapshot& snapshot) noexcept {
  const std::uint64_t log = ++snapshot.counters.map_log_pages;
  auto& map = snapshot.map;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < map.count; ++i) {
    MapGroup group = map.items[i];
    group.first_page = group.first_page >> log << log;
    if (kept > 0 && map.items[kept - 1].first_page == group.first_page)
      join(map.items[kept - 1], group);
    else
      map.items[kept++] = group;
  }
  map.count = kept;
}

void add_up(Counters& sum, const Snapshot& snapshot) noexcept {
  for (const MapGroup& group : snapshot.map) {
    sum.in_use += std::uint64_t{group.in_use} << sum.page_shift;
    sum.free += std::uint64_t{group.free} << sum.page_shift;
    sum.scavenged += std::uint64_t{group.scavenged} << sum.page_shift;
  }
  sum.grown = sum.in_use + sum.free + sum.scavenged;
  for (const ClassRow& row : snapshot.classes) {
    sum.small_live += row.live * row.object_bytes;
    sum.cached += row.cached * row.object_bytes;
    sum.free_in_spans += row.free * row.object_bytes;
    sum.live_objects += row.live;
    sum.mallocs += row.mallocs;
    sum.frees += row.frees;
  }
  sum.live = sum.small_live + sum.large_live;
  sum.live_objects += sum.large_objects;
}

// Completes the rows, which were added up in place by class, and drops those without anything.
void finish_classes(const Reader& reader, const CounterView& view, Snapshot& snapshot) noexcept {
  auto& rows = snapshot.classes;
  for (std::uint32_t c = 1; c < reader.root().class_count; ++c) {
    ClassRow row = rows.items[c];
    row.size_class = c;
    row.object_bytes = reader.class_bytes(c);
    row.frees = view.frees[c];
    row.mallocs = row.frees + row.live;
    rows.items[c] = ClassRow{};
    if (row.spans != 0 || row.mallocs != 0) rows.items[rows.count++] = row;
  }
}

}  // namespace

void clear(Snapshot& snapshot) noexcept {
  snapshot.library_version.fill('\0');
  snapshot.counters = Counters();
  snapshot.classes.items.fill(ClassRow());
  snapshot.classes.count = 0;
  snapshot.map.count = 0;
  snapshot.large.count = 0;
}

void add_group(Snapshot& snapshot, const MapGroup& group) noexcept {
  auto& map = snapshot.map;
  for (;;) {
    const std::uint64_t log = snapshot.counters.map_log_pages;
    MapGroup placed = group;
    placed.first_page = placed.first_page >> log << log;
    if (map.count > 0 && map.items[map.count - 1].first_page == placed.first_page)
      return join(map.items[map.count - 1], placed);
    if (!map.full()) {
      map.items[map.count++] = placed;
      return;
    }
    coarsen(snapshot);
  }
}

void add_large(Snapshot& snapshot, const LargeRow& row) noexcept {
  auto& large = snapshot.large;
  if (large.full()) {
    if (large.items[large.count - 1].bytes >= row.bytes) return;
    --large.count;
  }
  std::size_t i = large.count++;
  for (; i > 0 && large.items[i - 1].bytes < row.bytes; --i) large.items[i] = large.items[i - 1];
  large.items[i] = row;
}

bool collect(Reader& reader, std::uint64_t pid, Snapshot& snapshot) noexcept {
  clear(snapshot);
  const RootV1& root = reader.root();
  std::copy_n(root.library_version, Snapshot::kVersionBytes, snapshot.library_version.begin());
  Counters& sum = snapshot.counters;
  sum.pid = pid;
  sum.page_shift = root.page_shift;

  CounterView view;
  if (!reader.read_counters(view)) return false;
  Collector(reader, snapshot).walk();
  finish_classes(reader, view, snapshot);

  sum.peak_in_use = view.peak_in_use_bytes;
  sum.metadata = view.metadata_bytes;
  sum.threads = view.threads;
  sum.purged = view.purged_bytes;
  // A large span in the cache was freed by the program, but not by the heap.
  sum.mallocs = view.large_mallocs + view.large_hits;
  sum.frees += view.large_frees + view.large_hits;
  sum.torn = reader.torn();
  add_up(sum, snapshot);
  return true;
}

}  // namespace ream::inspect
