// The page map against a std::map of spans; wild addresses; lookups beside changes.
#include "span/page_map.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "support/effort.h"
#include "support/metadata_source.h"
#include "support/random.h"

namespace ream {
namespace {

constexpr std::uint64_t kGiB = 1ULL << PageMap::kLeafShift;
constexpr std::uint64_t kChunk = 1ULL << PageMap::kChunkShift;
constexpr Addr kArea{0x1234ULL << PageMap::kLeafShift};

struct alignas(64) SpanMemory {
  unsigned char bytes[sizeof(Span) + 640];
  Span& span() { return *reinterpret_cast<Span*>(bytes); }
};
using OwnedSpan = std::unique_ptr<SpanMemory>;

OwnedSpan small_span(Addr base, ClassIndex c) {
  auto memory = std::make_unique<SpanMemory>();
  init_small_span(memory->span(), base, c, 0, false);
  return memory;
}
OwnedSpan large_span(Addr base, Pages pages) {
  auto memory = std::make_unique<SpanMemory>();
  init_large_span(memory->span(), base, pages, Bytes(pages.n << kPageShift));
  return memory;
}

class PageMapTest : public testing::Test {
 protected:
  void cover(Addr base, Bytes bytes) { ASSERT_TRUE(map->cover(base, bytes, MetadataSource::map)); }

  // Everything about a span that is entered alone: edges, inside, just outside.
  void expect_found(Span& span) {
    const std::uint64_t end = span.base + span.bytes();
    EXPECT_EQ(map->span_for_base(Addr(span.base)), &span);
    EXPECT_EQ(map->span_for_base(Addr(span.base + 1)), nullptr);
    EXPECT_EQ(map->span_for_first_page(span.base + kPageBytes - 1), &span);
    EXPECT_EQ(map->span_of(Addr(span.base)), &span);
    EXPECT_EQ(map->span_of(Addr(end - 1)), &span);
    EXPECT_EQ(map->span_of(Addr(span.base - 1)), nullptr);
    EXPECT_EQ(map->span_of(Addr(end)), nullptr);
    for (std::uint64_t a = span.base; a < end; a += span.bytes() / 64 | 1)
      ASSERT_EQ(map->span_of(Addr(a)), &span) << std::hex << a;
    // Both sides of each chunk's first page.
    for (std::uint64_t a = round_up(span.base + 1, kChunk); a < end; a += kChunk) {
      ASSERT_EQ(map->span_of(Addr(a - 1)), &span);
      ASSERT_EQ(map->span_of(Addr(a)), &span);
    }
  }
  void expect_gone(const Span& span) {
    for (std::uint64_t a = span.base; a < span.base + span.bytes(); a += kPageBytes) {
      ASSERT_EQ(map->span_of(Addr(a)), nullptr);
      ASSERT_EQ(map->span_for_first_page(a), nullptr);
    }
  }

  MetadataSource source;
  std::unique_ptr<PageMap> map = std::make_unique<PageMap>();
};

TEST_F(PageMapTest, SmallSpansAreFoundFromEveryPage) {
  cover(kArea, Bytes(kGiB));
  for (const std::uint64_t offset : {std::uint64_t{8} << 20, kChunk * 7 - 2 * kPageBytes}) {
    auto owned = small_span(kArea + Bytes(offset), class_of(256 << 10));
    Span& span = owned->span();
    map->enter(span);
    expect_found(span);
    for (unsigned i = 0; i < span.pages; ++i)
      EXPECT_EQ(map->span_for_first_page(span.base + i * kPageBytes), &span);
    EXPECT_EQ(map->span_for_base(Addr(span.base + kPageBytes)), nullptr);
    map->remove(span);
    expect_gone(span);
  }
}

TEST_F(PageMapTest, LargeSpansAreFoundFromAnywhereInThem) {
  cover(kArea, Bytes(4 * kGiB));
  const std::uint64_t chunk_pages = kChunk / kPageBytes;
  for (const std::uint64_t begin :
       {std::uint64_t{0}, kPageBytes, kChunk - kPageBytes, kChunk, kChunk + 3 * kPageBytes,
        kGiB - kPageBytes, kGiB - kChunk, kGiB - 3 * kChunk - 5 * kPageBytes}) {
    for (const std::uint64_t pages :
         {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{33}, chunk_pages - 1, chunk_pages,
          chunk_pages + 1, 3 * chunk_pages + 17, 256 * chunk_pages, 600 * chunk_pages + 1}) {
      auto owned = large_span(kArea + Bytes(begin), Pages(pages));
      map->enter(owned->span());
      expect_found(owned->span());
      map->remove(owned->span());
      ASSERT_EQ(map->span_of(Addr(owned->span().base)), nullptr);
      ASSERT_EQ(map->span_of(Addr(owned->span().base + owned->span().bytes() - 1)), nullptr);
    }
  }
}

// The next span's entries decide, not those of the one before in the same chunk.
TEST_F(PageMapTest, NeighboursDoNotHideEachOther) {
  cover(kArea, Bytes(kGiB));
  auto low = large_span(kArea + Bytes(kPageBytes), Pages(kChunk / kPageBytes));  // ends in chunk 1
  auto middle = small_span(Addr(low->span().base + low->span().bytes()), class_of(8192));
  auto high = large_span(Addr(middle->span().base + 2 * middle->span().bytes()),  // after a gap
                         Pages(3 * kChunk / kPageBytes));
  for (auto* s : {&low, &middle, &high}) map->enter((*s)->span());
  for (auto* s : {&low, &middle, &high}) {
    Span& span = (*s)->span();
    for (std::uint64_t a = span.base; a < span.base + span.bytes(); a += kPageBytes)
      ASSERT_EQ(map->span_of(Addr(a)), &span);
  }
  for (std::uint64_t gap = 0; gap < middle->span().bytes(); gap += kPageBytes)
    EXPECT_EQ(map->span_of(Addr(middle->span().base + middle->span().bytes() + gap)), nullptr);
  map->remove(middle->span());
  EXPECT_EQ(map->span_of(Addr(middle->span().base)), nullptr);
  EXPECT_EQ(map->span_of(Addr(middle->span().base - 1)), &low->span());
}

TEST_F(PageMapTest, ResizeMovesTheEnd) {
  cover(kArea, Bytes(3 * kGiB));
  auto owned = large_span(kArea + Bytes(kGiB - 2 * kChunk + kPageBytes), 1_pages);
  Span& span = owned->span();
  map->enter(span);
  Random random(1);
  for (unsigned i = 0; i < 50 * kEffort; ++i) {
    const Pages before(span.pages);
    span.pages = static_cast<std::uint32_t>(1 + random.of_any_magnitude(kGiB / kPageBytes));
    map->resize(span, before);
    expect_found(span);
    if (span.pages < before.n) {
      for (std::uint64_t p = span.pages; p < before.n; p += 1 + random.below(97))
        ASSERT_EQ(map->span_of(Addr(span.base + p * kPageBytes)), nullptr);
    }
  }
}

TEST_F(PageMapTest, WildAddressesFindNull) {
  const std::uint64_t wild[] = {0,
                                1,
                                kPageBytes,
                                kArea.n - 1,
                                kArea.n + kGiB,
                                (1ULL << 47) - 1,
                                1ULL << 47,
                                (1ULL << 48) - 1,
                                1ULL << 48,
                                1ULL << 56,
                                1ULL << 63,
                                0xffff'8000'0000'0000,
                                0xdead'beef'dead'beef,
                                ~0ULL - kPageBytes,
                                ~0ULL};
  const auto expect_null = [&](std::uint64_t a) {
    ASSERT_EQ(map->span_of(Addr(a)), nullptr) << std::hex << a;
    ASSERT_EQ(map->span_for_base(Addr(a)), nullptr) << std::hex << a;
    ASSERT_EQ(map->span_for_first_page(a), nullptr) << std::hex << a;
  };
  for (const std::uint64_t a : wild) expect_null(a);
  cover(kArea, Bytes(kGiB));
  auto owned = large_span(kArea, Pages(kGiB / kPageBytes));
  map->enter(owned->span());
  for (const std::uint64_t a : wild) expect_null(a);
  Random random(2);
  for (unsigned i = 0; i < 100'000 * kEffort; ++i) {
    const std::uint64_t a = random.next() >> random.below(64);
    if (!owned->span().contains(a)) expect_null(a);
  }
  expect_null(owned->span().base | 1ULL << 48);  // the bits above the 48 count
  expect_null(owned->span().base | 1ULL << 63);
}

TEST_F(PageMapTest, CoverSaysWhenThereIsNoMemory) {
  source.calls_left = 1;
  EXPECT_FALSE(map->cover(kArea, Bytes(2 * kGiB), MetadataSource::map));
  EXPECT_EQ(map->metadata_bytes(), Bytes(sizeof(PageMap::Leaf)));
  EXPECT_EQ(map->span_of(kArea), nullptr);
  EXPECT_EQ(map->span_of(kArea + Bytes(kGiB)), nullptr);
  source.calls_left = 1;  // the first half is there already
  EXPECT_TRUE(map->cover(kArea, Bytes(2 * kGiB), MetadataSource::map));
  EXPECT_EQ(map->metadata_bytes(), Bytes(2 * sizeof(PageMap::Leaf)));
  EXPECT_TRUE(map->cover(kArea + 1_B, Bytes(2 * kGiB - 1), MetadataSource::map));
  EXPECT_FALSE(map->cover(Addr(1ULL << 48), Bytes(1), MetadataSource::map));
}

// Spans in four GiBs, around every kind of border.
class Model {
 public:
  static constexpr std::uint64_t kBytes = 4 * kGiB;

  Model(PageMap& map, Random& random) : map_(map), random_(random) {}

  void step() {
    switch (random_.below(4)) {
      case 0:
      case 1:
        return enter_one();
      case 2:
        return remove_one();
      default:
        return resize_one();
    }
  }

  Span* at(std::uint64_t address) const {
    auto it = spans_.upper_bound(address);
    if (it == spans_.begin()) return nullptr;
    Span& span = std::prev(it)->second->span();
    return span.contains(address) ? &span : nullptr;
  }

  std::uint64_t some_address() {
    const std::uint64_t a = near_a_border();
    if (spans_.empty() || random_.one_in(2)) return a + random_.below(kPageBytes);
    auto it = spans_.lower_bound(a);
    if (it == spans_.end()) it = std::prev(it);
    const Span& span = it->second->span();
    switch (random_.below(4)) {
      case 0:
        return span.base + random_.below(span.bytes());
      case 1:
        return span.base + span.bytes() - 1;
      case 2:
        return span.base + span.bytes();
      default:
        return span.base - random_.below(2);
    }
  }

 private:
  // A page within some hundred pages of the border of a chunk or leaf, or anywhere.
  std::uint64_t near_a_border() {
    const std::uint64_t unit = random_.one_in(3) ? kGiB : random_.one_in(2) ? kChunk : kPageBytes;
    const std::uint64_t at = random_.below(kBytes / unit) * unit;
    const std::uint64_t off = random_.of_any_magnitude(200) * kPageBytes;
    return kArea.n + (random_.one_in(2) && at >= off ? at - off : at + off) % kBytes;
  }

  // Where the free space that holds `address` ends.
  std::uint64_t free_until(std::uint64_t address) const {
    auto above = spans_.lower_bound(address);
    return above == spans_.end() ? kArea.n + kBytes : above->first;
  }

  void enter_one() {
    const std::uint64_t base = near_a_border();
    if (at(base) != nullptr) return;
    const std::uint64_t room = (free_until(base) - base) / kPageBytes;
    if (room == 0) return;
    OwnedSpan owned;
    if (random_.one_in(2)) {
      const auto c = static_cast<ClassIndex>(random_.between(1, kClassCount - 1));
      if (kSizeClasses[c].span_pages > room) return;
      owned = small_span(Addr(base), c);
    } else {
      owned = large_span(Addr(base), Pages(1 + random_.of_any_magnitude(room - 1)));
    }
    map_.enter(owned->span());
    spans_[base] = std::move(owned);
  }

  void remove_one() {
    if (spans_.empty()) return;
    auto it = spans_.lower_bound(near_a_border());
    if (it == spans_.end()) it = spans_.begin();
    map_.remove(it->second->span());
    spans_.erase(it);
  }

  void resize_one() {
    if (spans_.empty()) return;
    auto it = spans_.lower_bound(near_a_border());
    if (it == spans_.end()) it = spans_.begin();
    Span& span = it->second->span();
    if (!span.is_large()) return;
    const std::uint64_t room = (free_until(span.base + 1) - span.base) / kPageBytes;
    const Pages before(span.pages);
    span.pages = static_cast<std::uint32_t>(1 + random_.of_any_magnitude(room - 1));
    map_.resize(span, before);
  }

  PageMap& map_;
  Random& random_;
  std::map<std::uint64_t, OwnedSpan> spans_;
};

TEST_F(PageMapTest, RandomSpansEqualAMap) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    REAM_TRACE_SEED(seed);
    Random random(seed);
    map = std::make_unique<PageMap>();
    cover(kArea, Bytes(Model::kBytes));
    Model model(*map, random);
    for (unsigned i = 0; i < 3000 * kEffort; ++i) {
      model.step();
      for (unsigned k = 0; k < 10; ++k) {
        const std::uint64_t a = model.some_address();
        Span* expected = model.at(a);
        ASSERT_EQ(map->span_of(Addr(a)), expected) << std::hex << a;
        const bool is_base = expected != nullptr && expected->base == a;
        ASSERT_EQ(map->span_for_base(Addr(a)), is_base ? expected : nullptr) << std::hex << a;
        // The fast path knows every page of small spans and the first one of large ones.
        const bool known =
            expected != nullptr && (!expected->is_large() || a - expected->base < kPageBytes);
        ASSERT_EQ(map->span_for_first_page(a), known ? expected : nullptr) << std::hex << a;
      }
    }
  }
}

// A live object's span is found at any time, whatever happens to its neighbours.
TEST_F(PageMapTest, ConcurrentLookupsOfLiveSpans) {
  cover(kArea, Bytes(2 * kGiB));
  auto small = small_span(kArea + Bytes(kChunk - 32 * kPageBytes), class_of(256 << 10));
  auto large = large_span(kArea + Bytes(kGiB - 3 * kChunk - kPageBytes), Pages(5 * 512));
  map->enter(small->span());
  map->enter(large->span());
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> wrong{0};
  std::vector<std::thread> readers;
  for (std::uint64_t t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      Random random(t);
      while (!stop.load(std::memory_order_relaxed)) {
        for (Span* span : {&small->span(), &large->span()}) {
          const Addr a(span->base + random.below(span->bytes()));
          if (map->span_of(a) != span) wrong.fetch_add(1);
          if (map->span_for_base(Addr(span->base)) != span) wrong.fetch_add(1);
        }
      }
    });
  }
  for (unsigned i = 0; i < 500 * kEffort; ++i) {
    auto below = small_span(Addr(small->span().base - 32 * kPageBytes), class_of(256 << 10));
    auto above = large_span(Addr(large->span().base + large->span().bytes()), Pages(1000));
    map->enter(below->span());
    map->enter(above->span());
    map->remove(above->span());
    map->remove(below->span());
  }
  stop = true;
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(wrong.load(), 0u);
}

}  // namespace
}  // namespace ream
