// A page allocator that is slow and obviously right: one byte a page, plain scans. What it answers,
// PageAlloc must answer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "page/geometry.h"
#include "page/page_alloc.h"

namespace ream::page::test {

class NaiveModel {
 public:
  enum State : std::uint8_t { kInUse, kFree, kScavenged };
  struct Taken {
    std::uint64_t page = 0;
    std::uint64_t scavenged = 0;
    friend bool operator==(const Taken&, const Taken&) = default;
  };
  struct Cache {
    std::uint64_t base = 0;
    std::uint64_t free = 0;
    std::uint64_t scavenged = 0;
  };
  // A maximal grown range; one state a page.
  struct Segment {
    std::uint64_t first = 0;
    std::vector<State> pages;
    [[nodiscard]] std::uint64_t end() const { return first + pages.size(); }
  };

  ScavengeShape shape{1, 0};

  // [page, page + n) widened to chunks. False if any of it is grown already.
  bool grow(std::uint64_t page, std::uint64_t n) {
    if (n == 0) return true;
    const std::uint64_t lo = page / kChunkPages * kChunkPages;
    const std::uint64_t hi = (page + n + kChunkPages - 1) / kChunkPages * kChunkPages;
    for (const Segment& s : segments_) {
      if (lo < s.end() && s.first < hi) return false;
    }
    auto at = std::find_if(segments_.begin(), segments_.end(),
                           [&](const Segment& s) { return s.first >= hi; });
    at = segments_.insert(at, {lo, std::vector<State>(hi - lo, kScavenged)});
    if (std::next(at) != segments_.end() && at->end() == std::next(at)->first) join(at);
    if (at != segments_.begin() && std::prev(at)->end() == at->first) join(std::prev(at));
    return true;
  }

  // Lowest run of n free pages that begins at or above `from`.
  [[nodiscard]] std::optional<std::uint64_t> find(std::uint64_t n, std::uint64_t from = 0) const {
    for (const Segment& s : segments_) {
      std::uint64_t run = 0;  // free pages that end at i, none below `from`
      for (std::uint64_t i = 0; i < s.pages.size(); ++i) {
        run = s.pages[i] == kInUse || s.first + i < from ? 0 : run + 1;
        if (run >= n) return s.first + i + 1 - n;
      }
    }
    return std::nullopt;
  }

  // Lowest one at a multiple of align; after `passes` lower runs that hold none, the lowest in a
  // run of n + align - 1, if there is one.
  [[nodiscard]] std::optional<std::uint64_t> find_aligned(std::uint64_t n, std::uint64_t align,
                                                          unsigned passes) const {
    const auto up = [align](std::uint64_t page) { return (page + align - 1) / align * align; };
    auto page = find(n);
    for (unsigned pass = 1; page && *page % align != 0; ++pass) {
      const std::uint64_t next = up(*page);
      if (pass == passes) {
        if (const auto longer = find(n + align - 1, next)) return up(*longer);
      }
      page = find(n, next);
    }
    return page;
  }

  // Highest run of n free pages within [lo, hi).
  [[nodiscard]] std::optional<std::uint64_t> find_highest(std::uint64_t n, std::uint64_t lo,
                                                          std::uint64_t hi) const {
    for (auto s = segments_.rbegin(); s != segments_.rend(); ++s) {
      std::uint64_t run = 0;
      for (std::uint64_t i = s->pages.size(); i-- > 0;) {
        const std::uint64_t page = s->first + i;
        run = s->pages[i] == kInUse || page >= hi || page < lo ? 0 : run + 1;
        if (run >= n) return page;
      }
    }
    return std::nullopt;
  }

  std::optional<Taken> alloc(std::uint64_t n, std::uint64_t align = 1) {
    const auto page =
        n == 0 ? std::nullopt : find_aligned(n, align, PageAlloc<Go48>::kAlignedPasses);
    if (!page) return std::nullopt;
    return alloc_range(*page, n);
  }

  std::optional<Taken> alloc_range(std::uint64_t page, std::uint64_t n) {
    State* p = pages(page, n);
    if (p == nullptr || std::count(p, p + n, kInUse) != 0) return std::nullopt;
    const auto scavenged = static_cast<std::uint64_t>(std::count(p, p + n, kScavenged));
    std::fill(p, p + n, kInUse);
    return Taken{page, scavenged};
  }

  void mark_backed(std::uint64_t page, std::uint64_t n) {
    State* p = pages(page, n);
    if (p == nullptr) return;
    for (State* at = p; at != p + n; ++at) {
      if (*at != kScavenged) continue;
      *at = kFree;
      candidates_.insert((page + static_cast<std::uint64_t>(at - p)) / kChunkPages);
    }
  }

  bool free(std::uint64_t page, std::uint64_t n, bool candidate = true) {
    State* p = pages(page, n);
    if (p == nullptr || static_cast<std::uint64_t>(std::count(p, p + n, kInUse)) != n) return false;
    std::fill(p, p + n, kFree);
    if (candidate) mark(page, n);
    return true;
  }

  Cache fill_cache() {
    const auto page = find(1);
    if (!page) return {};
    Cache cache{*page / 64 * 64, 0, 0};
    State* p = pages(cache.base, 64);
    for (unsigned i = 0; i < 64; ++i) {
      if (p[i] == kInUse) continue;
      cache.free |= 1ULL << i;
      if (p[i] == kScavenged) cache.scavenged |= 1ULL << i;
      p[i] = kInUse;
    }
    return cache;
  }
  static std::optional<Taken> alloc_from(Cache& cache, std::uint64_t n) {
    for (unsigned i = 0; i + n <= 64; ++i) {
      const std::uint64_t mask = (n == 64 ? ~0ULL : (1ULL << n) - 1) << i;
      if ((cache.free & mask) != mask) continue;
      const auto scavenged =
          static_cast<std::uint64_t>(__builtin_popcountll(cache.scavenged & mask));
      cache.free &= ~mask;
      cache.scavenged &= ~mask;
      return Taken{cache.base + i, scavenged};
    }
    return std::nullopt;
  }
  void flush(Cache& cache, bool candidate = false) {
    if (cache.free == 0) return;
    State* p = pages(cache.base, 64);
    for (unsigned i = 0; i < 64; ++i) {
      if ((cache.free >> i & 1) != 0) p[i] = (cache.scavenged >> i & 1) != 0 ? kScavenged : kFree;
    }
    if (candidate) mark(cache.base, 64);
    cache = {};
  }

  // Pages given back, by the rules of the oracle's FORMAT.md.
  std::uint64_t scavenge(std::uint64_t want_pages) {
    std::uint64_t done = 0;
    while (done < want_pages && !candidates_.empty()) {
      const std::uint64_t chunk = *candidates_.rbegin();
      const auto [start, n] = candidate(chunk, want_pages - done);
      if (n == 0) {
        candidates_.erase(chunk);
        continue;
      }
      State* p = pages(chunk * kChunkPages + start, n);
      std::fill(p, p + n, kScavenged);
      done += n;
    }
    return done;
  }

  [[nodiscard]] std::optional<State> state(std::uint64_t page) const {
    const State* p = const_cast<NaiveModel*>(this)->pages(page, 1);
    return p == nullptr ? std::nullopt : std::optional<State>(*p);
  }
  [[nodiscard]] std::uint64_t count(State state) const {
    std::uint64_t n = 0;
    for (const Segment& s : segments_) {
      n += static_cast<std::uint64_t>(std::count(s.pages.begin(), s.pages.end(), state));
    }
    return n;
  }
  [[nodiscard]] std::uint64_t total() const {
    std::uint64_t n = 0;
    for (const Segment& s : segments_) n += s.pages.size();
    return n;
  }
  [[nodiscard]] FreeRunHistogram histogram() const {
    FreeRunHistogram h;
    for (const Segment& s : segments_) {
      std::uint64_t run = 0;
      for (const State p : s.pages) {
        if (p == kInUse) h.add(Pages(run));
        run = p == kInUse ? 0 : run + 1;
      }
      h.add(Pages(run));
    }
    return h;
  }
  [[nodiscard]] const std::vector<Segment>& segments() const { return segments_; }

  // The states of pages, or null unless all are grown.
  State* pages(std::uint64_t page, std::uint64_t n) {
    for (Segment& s : segments_) {
      if (n > 0 && s.first <= page && page + n <= s.end()) return s.pages.data() + (page - s.first);
    }
    return nullptr;
  }

 private:
  void join(std::vector<Segment>::iterator left) {
    const auto right = std::next(left);
    left->pages.insert(left->pages.end(), right->pages.begin(), right->pages.end());
    segments_.erase(right);
  }
  void mark(std::uint64_t page, std::uint64_t n) {
    for (std::uint64_t c = page / kChunkPages; c <= (page + n - 1) / kChunkPages; ++c) {
      candidates_.insert(c);
    }
  }

  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> candidate(std::uint64_t chunk,
                                                                  std::uint64_t want) {
    const std::uint64_t unit = shape.physical_page;
    const State* p = pages(chunk * kChunkPages, kChunkPages);
    std::vector<bool> busy(kChunkPages);
    for (std::uint64_t i = 0; i < kChunkPages; ++i) {
      if (p[i] == kFree) continue;
      const std::uint64_t group = i / unit * unit;
      for (std::uint64_t k = 0; k < unit; ++k) busy[group + k] = true;
    }
    std::uint64_t end = kChunkPages;
    while (end > 0 && busy[end - 1]) --end;
    std::uint64_t begin = end;
    while (begin > 0 && !busy[begin - 1]) --begin;
    const std::uint64_t most = (want + unit - 1) / unit * unit;
    std::uint64_t start = end - std::min(end - begin, most);
    if (shape.huge_page > 1 && end > begin) {
      const std::uint64_t above = (start + shape.huge_page - 1) / shape.huge_page * shape.huge_page;
      const std::uint64_t below = start / shape.huge_page * shape.huge_page;
      if (above <= end && below >= begin) start = below;
    }
    return {start, end - start};
  }

  std::vector<Segment> segments_;  // ascending, never adjacent
  std::set<std::uint64_t> candidates_;
};

// The summary of one chunk's bits, page by page.
inline Runs summarize_slowly(const ChunkBits& used) {
  Runs r;
  std::uint64_t run = 0;
  bool first = true;
  for (unsigned i = 0; i < kChunkPages; ++i) {
    if (test_bit(used, i)) {
      if (first) r.start = run;
      first = false;
      run = 0;
    } else {
      r.max = std::max(r.max, ++run);
    }
  }
  r.end = run;
  if (first) r.start = run;
  return r;
}

}  // namespace ream::page::test
