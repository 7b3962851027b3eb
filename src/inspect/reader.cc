#include "inspect/reader.h"

#include <algorithm>
#include <cstring>

namespace ream::inspect {
namespace {

constexpr std::uint32_t kMaxObjects = 4096;    // of a span
constexpr std::uint64_t kMaxRanges = 1 << 22;  // of a window
constexpr std::uint64_t kMaxCaches = 1 << 16;
constexpr std::uint32_t kMaxSpanHeader = 1024;

template <class T>
T load(const unsigned char* bytes) noexcept {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

}  // namespace

template <class T>
bool Reader::read(std::uint64_t address, T& value) noexcept {
  if (source_.read(address, &value, sizeof(value))) return true;
  ++torn_;
  return false;
}

template <class T>
T Reader::read_or_zero(std::uint64_t address) noexcept {
  T value{};
  return read(address, value) ? value : T{};
}

OpenResult Reader::open(const MemorySource& source, std::uint64_t root_address) noexcept {
  source_ = source;
  torn_ = 0;
  chunks_ = 0;
  window_ = 0;
  in_window_ = false;
  next_offset_ = 0;
  range_end_ = 0;
  next_page_ = kChunkBits;
  constexpr std::size_t kHead = offsetof(RootV1, library_version);
  if (!source_.read(root_address, &root_, kHead)) return OpenResult::kUnreadable;
  if (std::memcmp(root_.magic, RootV1::kMagic, sizeof(root_.magic)) != 0)
    return OpenResult::kNoRoot;
  if (root_.version != RootV1::kVersion) return OpenResult::kOtherVersion;
  if (root_.bytes < RootV1::kFirstBytes) return OpenResult::kBadRoot;
  const std::size_t bytes = std::min<std::size_t>(root_.bytes, sizeof(RootV1));
  root_ = RootV1{};  // what an older root does not have is 0
  if (!source_.read(root_address, &root_, bytes)) return OpenResult::kUnreadable;
  root_.library_version[sizeof(root_.library_version) - 1] = '\0';
  if (!root_makes_sense()) return OpenResult::kBadRoot;
  return read_classes() ? OpenResult::kOk : OpenResult::kUnreadable;
}

// What the code below divides by, shifts by, or indexes its own arrays with.
bool Reader::root_makes_sense() const noexcept {
  const RootV1& r = root_;
  const std::uint32_t chunk_log_bytes = r.page_shift + r.chunk_log_pages;
  const auto in_header = [&r](std::uint32_t offset, std::uint32_t bytes) noexcept {
    return offset <= r.span_min_bytes && bytes <= r.span_min_bytes - offset;
  };
  return r.page_shift >= 10 && r.page_shift <= 20 && r.chunk_log_pages == kChunkLogPages &&
         r.window_log_bytes > chunk_log_bytes && r.window_log_bytes < 57 && r.window_count > 0 &&
         r.window_count <= 65536 && r.chunk_l2_log < 32 &&
         r.map_leaf_log_bytes >= chunk_log_bytes && r.map_leaf_log_bytes < 57 &&
         r.large_cache_shards <= 4096 && r.class_count > 0 && r.class_count <= kMaxClasses &&
         r.chunk_stride > 0 && r.span_min_bytes <= kMaxSpanHeader && in_header(r.span_base, 8) &&
         in_header(r.span_pages, 4) && in_header(r.span_object_bytes, 4) &&
         in_header(r.span_objects, 2) && in_header(r.span_class, 1) &&
         in_header(r.span_requested, 8) && in_header(r.span_states, 1);
}

bool Reader::read_classes() noexcept {
  const std::uint64_t classes = reinterpret_cast<std::uintptr_t>(root_.classes);
  for (std::uint32_t c = 0; c < root_.class_count; ++c) {
    if (!read(classes + std::uint64_t{c} * root_.class_stride + root_.class_object_bytes,
              class_bytes_[c]))
      return false;
  }
  return true;
}

// ---- chunks

bool Reader::next_chunk(ChunkView& chunk) noexcept {
  const std::uint64_t chunk_bytes = std::uint64_t{kChunkBits} << root_.page_shift;
  next_page_ = kChunkBits;
  while (window_ < root_.window_count && !gives_up()) {
    if ((in_window_ || enter_window()) && (next_offset_ < range_end_ || find_range())) {
      chunk.base = window_base_ + next_offset_;
      next_offset_ += chunk_bytes;
      ++chunks_;
      if (!read_chunk(chunk)) continue;
      chunk_base_ = chunk.base;
      next_page_ = read_map_slice(chunk.base) ? 0 : kChunkBits;
      return true;
    }
    ++window_;
    in_window_ = false;
  }
  return false;
}

bool Reader::enter_window() noexcept {
  if (read_or_zero<std::uint8_t>(heap_at(root_.heap_ready) + window_) != 1) return false;
  window_base_ = read_or_zero<std::uint64_t>(window_at(root_.window_base));
  const std::uint64_t window_bytes = std::uint64_t{1} << root_.window_log_bytes;
  if (window_base_ % window_bytes != 0 || window_base_ > ~std::uint64_t{0} - window_bytes) {
    ++torn_;
    return false;
  }
  next_offset_ = 0;
  range_end_ = 0;
  in_window_ = true;
  return true;
}

bool Reader::is_possible(const Range& range) const noexcept {
  const std::uint64_t chunk_bytes = std::uint64_t{kChunkBits} << root_.page_shift;
  return range.base < range.limit && range.limit <= std::uint64_t{1} << root_.window_log_bytes &&
         range.base % chunk_bytes == 0 && range.limit % chunk_bytes == 0;
}

// Sets next_offset_ and range_end_ to the first range that reaches above next_offset_. The ranges
// may have been moved since the last look, so it looks through all of them.
bool Reader::find_range() noexcept {
  const std::uint64_t ranges = read_or_zero<std::uint64_t>(window_at(root_.window_ranges));
  const std::uint64_t count = read_or_zero<std::uint64_t>(window_at(root_.window_range_count));
  if (count > kMaxRanges) {
    ++torn_;
    return false;
  }
  constexpr std::uint64_t kBatch = sizeof(buffer_) / sizeof(Range);
  for (std::uint64_t i = 0; i < count; i += kBatch) {
    const std::uint64_t n = std::min(count - i, kBatch);
    if (!source_.read(ranges + i * sizeof(Range), buffer_.data(), n * sizeof(Range))) {
      ++torn_;
      return false;
    }
    for (std::uint64_t k = 0; k < n; ++k) {
      const auto range = load<Range>(buffer_.data() + k * sizeof(Range));
      if (!is_possible(range)) {
        ++torn_;
        return false;
      }
      if (range.limit <= next_offset_) continue;
      next_offset_ = std::max(next_offset_, range.base);
      range_end_ = range.limit;
      return true;
    }
  }
  return false;
}

bool Reader::read_chunk(ChunkView& chunk) noexcept {
  const std::uint64_t index =
      (chunk.base - window_base_) >> (root_.page_shift + root_.chunk_log_pages);
  const std::uint64_t l1 = read_or_zero<std::uint64_t>(window_at(root_.window_chunk_l1));
  const std::uint64_t l2 =
      l1 == 0 ? 0 : read_or_zero<std::uint64_t>(l1 + (index >> root_.chunk_l2_log) * 8);
  if (l2 == 0) {
    ++torn_;
    return false;
  }
  const std::uint64_t in_l2 = index & ((std::uint64_t{1} << root_.chunk_l2_log) - 1);
  const std::uint64_t at = l2 + in_l2 * root_.chunk_stride;
  std::uint8_t leased = 0;
  if (!read(at + root_.chunk_used, chunk.used) || !read(at + root_.chunk_backed, chunk.backed) ||
      !read(at + root_.chunk_leased, leased))
    return false;
  chunk.leased = leased != 0;
  return true;
}

// ---- spans

bool Reader::read_map_slice(std::uint64_t base) noexcept {
  const std::uint64_t entry = base >> root_.map_leaf_log_bytes;
  if (entry >= root_.map_root_entries) {
    ++torn_;
    return false;
  }
  const std::uint64_t leaf = read_or_zero<std::uint64_t>(heap_at(root_.heap_map_root) + entry * 8);
  if (leaf == 0) {
    ++torn_;
    return false;
  }
  const std::uint64_t in_leaf = base & ((std::uint64_t{1} << root_.map_leaf_log_bytes) - 1);
  return read(leaf + root_.leaf_pages + (in_leaf >> root_.page_shift) * 8, map_slice_);
}

bool Reader::next_span(SpanView& span) noexcept {
  while (next_page_ < kChunkBits && !gives_up()) {
    const unsigned page = next_page_++;
    const std::uint64_t address = map_slice_[page];
    // The same span as the page before: one that began in another chunk, or that was torn.
    if (address == 0 || (page > 0 && address == map_slice_[page - 1])) continue;
    const std::uint64_t base = chunk_base_ + (std::uint64_t{page} << root_.page_shift);
    if (!read_span(address, base, span)) continue;
    next_page_ =
        page + static_cast<unsigned>(std::min<std::uint64_t>(span.pages, kChunkBits - page));
    return true;
  }
  return false;
}

bool Reader::read_span(std::uint64_t address, std::uint64_t base, SpanView& span) noexcept {
  if (!source_.read(address, buffer_.data(), root_.span_min_bytes)) {
    ++torn_;
    return false;
  }
  const unsigned char* s = buffer_.data();
  span.base = load<std::uint64_t>(s + root_.span_base);
  span.pages = load<std::uint32_t>(s + root_.span_pages);
  span.object_bytes = load<std::uint32_t>(s + root_.span_object_bytes);
  span.objects = load<std::uint16_t>(s + root_.span_objects);
  span.size_class = load<std::uint8_t>(s + root_.span_class);
  span.requested_bytes = load<std::uint64_t>(s + root_.span_requested);
  const std::uint64_t bytes = span.pages << root_.page_shift;
  const bool begins_before = span.base < base && base - span.base < bytes;
  if (begins_before) return false;  // in another chunk
  if (span.base != base || span.pages == 0 || span.size_class >= root_.class_count ||
      span.base - window_base_ > (std::uint64_t{1} << root_.window_log_bytes) - bytes) {
    ++torn_;
    return false;
  }
  if (span.size_class == 0) {
    span.object_bytes = bytes;
    span.objects = 1;
    span.requested_bytes = std::min(span.requested_bytes, bytes);
  } else {
    span.requested_bytes = 0;
    if (span.object_bytes != class_bytes_[span.size_class] || span.objects == 0 ||
        span.objects > kMaxObjects || span.object_bytes * span.objects > bytes) {
      ++torn_;
      return false;
    }
  }
  return count_states(address, span);
}

// The first states came along with the span itself.
bool Reader::count_states(std::uint64_t address, SpanView& span) noexcept {
  span.live = 0;
  span.cached = 0;
  const std::uint32_t owned = root_.state_live_owned;
  const auto count = [this, &span, owned](const unsigned char* states, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) {
      if (states[i] == root_.state_live || (owned != 0 && states[i] == owned))
        ++span.live;
      else if ((states[i] & root_.state_taken_bit) != 0)
        ++span.cached;
    }
  };
  const std::uint32_t here = std::min(span.objects, root_.span_min_bytes - root_.span_states);
  count(buffer_.data() + root_.span_states, here);
  const std::size_t rest = span.objects - here;
  if (rest == 0) return true;
  static_assert(kMaxObjects <= sizeof(buffer_));
  if (!source_.read(address + root_.span_min_bytes, buffer_.data(), rest)) {
    ++torn_;
    return false;
  }
  count(buffer_.data(), rest);
  return true;
}

// ---- counters

bool Reader::read_counters(CounterView& counters) noexcept {
  counters = CounterView();
  const auto at = [this](std::uint32_t offset) noexcept {
    return read_or_zero<std::uint64_t>(heap_at(offset));
  };
  if (!read(heap_at(root_.heap_in_use_pages), counters.in_use_pages)) return false;
  counters.peak_in_use_bytes = at(root_.heap_peak_in_use);
  counters.large_mallocs = at(root_.heap_large_mallocs);
  counters.large_frees = at(root_.heap_large_frees);
  counters.purged_bytes = at(root_.heap_purged_bytes) + at(root_.heap_inside_purged);
  for (std::uint32_t s = 0; s < root_.large_cache_shards; ++s) {
    counters.large_hits += read_or_zero<std::uint64_t>(heap_at(root_.heap_large_cache) +
                                                       std::uint64_t{s} * root_.large_cache_stride +
                                                       root_.large_cache_hits);
  }
  counters.threads = at(root_.heap_cache_count);
  counters.metadata_bytes = at(root_.heap_span_pool) + at(root_.heap_cache_pool) +
                            at(root_.heap_leaf_count) * root_.leaf_bytes;
  if (root_.heap_transfer_pool != 0) counters.metadata_bytes += at(root_.heap_transfer_pool);
  if (root_.heap_sub_heap_pool != 0) counters.metadata_bytes += at(root_.heap_sub_heap_pool);
  for (std::uint32_t w = 0; w < root_.window_count; ++w) {
    if (read_or_zero<std::uint8_t>(heap_at(root_.heap_ready) + w) != 1) continue;
    const std::uint64_t window =
        heap_at(root_.heap_windows) + std::uint64_t{w} * root_.window_stride;
    counters.metadata_bytes +=
        read_or_zero<std::uint64_t>(window + root_.window_committed) +
        read_or_zero<std::uint64_t>(window + root_.window_range_capacity) * sizeof(Range);
  }
  for (std::uint32_t c = 0; c < root_.class_count; ++c) {
    counters.frees[c] =
        read_or_zero<std::uint64_t>(heap_at(root_.heap_ended_frees) + std::uint64_t{c} * 8);
  }
  // A list that changes meanwhile may lead anywhere, also in a circle.
  const std::uint64_t most = std::min(kMaxCaches, counters.threads) + 64;
  std::uint64_t cache = at(root_.heap_first_cache);
  for (std::uint64_t i = 0; cache != 0 && i < most && !gives_up(); ++i) {
    if (cache % alignof(std::uint64_t) != 0) {
      ++torn_;
      break;
    }
    add_cache_frees(cache, counters);
    cache = read_or_zero<std::uint64_t>(cache + root_.cache_next);
  }
  return true;
}

void Reader::add_cache_frees(std::uint64_t cache, CounterView& counters) noexcept {
  const std::uint64_t bins = cache + root_.cache_bins;
  const std::uint64_t bytes = std::uint64_t{root_.class_count} * root_.bin_stride;
  if (bytes <= sizeof(buffer_) && root_.bin_stride >= 8 &&
      root_.bin_frees <= root_.bin_stride - 8) {
    if (!source_.read(bins, buffer_.data(), bytes)) {
      ++torn_;
      return;
    }
    for (std::uint32_t c = 0; c < root_.class_count; ++c) {
      counters.frees[c] +=
          load<std::uint64_t>(buffer_.data() + std::size_t{c} * root_.bin_stride + root_.bin_frees);
    }
    return;
  }
  for (std::uint32_t c = 0; c < root_.class_count; ++c) {
    counters.frees[c] +=
        read_or_zero<std::uint64_t>(bins + std::uint64_t{c} * root_.bin_stride + root_.bin_frees);
  }
}

}  // namespace ream::inspect
