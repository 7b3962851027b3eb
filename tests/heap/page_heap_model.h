// A page heap over the made-up OS, and the model it is held against: which spans there are, where,
// and what is in them. One random step at a time; expect_valid() compares everything.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "base/check.h"
#include "heap/page_heap.h"
#include "heap/stamps.h"
#include "os/fake_os.h"
#include "os/process.h"
#include "support/random.h"

namespace ream {

class PageHeapModel {
 public:
  static constexpr std::uint64_t kLargest = 6 << 20;  // of most requests
  static constexpr std::uint64_t kMost = 48 << 20;    // bytes in use before more is freed than made

  struct Entry {
    Span* span;
    std::uint64_t tag;
  };

  PageHeapModel(PageHeap& heap, Random& random) : heap_(heap), random_(random) {}

  // What a request that finds no memory is: a failure, or to be expected (and then it changes
  // nothing).
  bool may_fail = false;
  bool moves = true;
  std::uint64_t refused = 0;

  void step() {
    const std::uint64_t kind = random_.below(100);
    if (bytes_ > kMost || kind < 30) return free_one();
    if (kind < 55) return make_small();
    if (kind < 80) return make_large();
    if (kind < 90) return resize_one();
    if (kind < 97 && moves) return move_one();
    heap_.purge_all();
  }

  void make_small() {
    const auto c = static_cast<ClassIndex>(random_.between(1, kClassCount - 1));
    const auto shard = static_cast<std::uint8_t>(random_.below(16));
    Span* span = heap_.new_small_span(c, shard);
    if (span == nullptr) return refuse();
    ASSERT_EQ(span->size_class, c);
    ASSERT_EQ(span->shard, shard);
    ASSERT_EQ(span->pages, kSizeClasses[c].span_pages);
    if (span->states()[0] == kFreeZero) {
      ASSERT_TRUE(Stamps::all_zero(Addr(span->base).ptr(), span->bytes()));
    }
    span->purged = 0;  // written to here without the knowledge of a central list
    enter(*span);
  }

  void make_large() {
    const Bytes bytes(1 + random_.of_any_magnitude(kLargest));
    const Bytes alignment(std::uint64_t{1} << random_.below(random_.one_in(8) ? 26 : 15));
    const bool zeroed = random_.one_in(2);
    Span* span = heap_.new_large_span(bytes, alignment, zeroed);
    if (span == nullptr) return refuse();
    ASSERT_TRUE(span->is_large());
    ASSERT_EQ(span->requested_bytes, bytes.n);
    ASSERT_EQ(span->bytes(), round_up(bytes.n, kPageBytes));
    ASSERT_EQ(span->base % alignment.n, 0u);
    if (zeroed) {
      ASSERT_TRUE(Stamps::all_zero(Addr(span->base).ptr(), span->bytes()));
    }
    enter(*span);
  }

  void free_one() {
    const auto it = some();
    if (it == spans_.end()) return;
    ASSERT_TRUE(holds(it->second, it->second.span->bytes()));
    bytes_ -= it->second.span->bytes();
    heap_.free_span(*it->second.span);
    spans_.erase(it);
  }

  void resize_one() {
    const auto it = some();
    if (it == spans_.end() || !it->second.span->is_large()) return;
    Span& span = *it->second.span;
    const std::uint64_t before = span.bytes();
    const Bytes bytes(1 + random_.of_any_magnitude(kLargest));
    if (!heap_.resize_in_place(span, bytes)) {
      ASSERT_GT(round_up(bytes.n, kPageBytes), before);  // shrinking always works
      ASSERT_EQ(span.bytes(), before);
    } else {
      ASSERT_EQ(span.bytes(), round_up(bytes.n, kPageBytes));
      ASSERT_EQ(span.requested_bytes, bytes.n);
    }
    ASSERT_TRUE(holds(it->second, std::min(before, span.bytes())));
    bytes_ = bytes_ - before + span.bytes();
    expect_alone(span);
    Stamps::write(Addr(span.base).ptr(), span.bytes(), it->second.tag);
  }

  void move_one() {
    const auto it = some();
    if (it == spans_.end() || !it->second.span->is_large()) return;
    const Entry entry = it->second;
    const std::uint64_t before = entry.span->bytes();
    const Bytes bytes(before + 1 + random_.of_any_magnitude(kLargest));
    Span* to = heap_.move_pages(*entry.span, bytes, Bytes(random_.of_any_magnitude(1 << 20)));
    if (to == nullptr) {
      ASSERT_TRUE(holds(entry, before));
      return;
    }
    spans_.erase(it);
    bytes_ -= before;
    ASSERT_EQ(to->bytes(), round_up(bytes.n, kPageBytes));
    ASSERT_TRUE(holds({to, entry.tag}, before));
    enter(*to);
  }

  void free_all() {
    while (!spans_.empty()) free_one();
  }

  // Everything is as the model says.
  void expect_valid() {
    ASSERT_TRUE(heap_.is_valid());
    std::uint64_t large = 0, large_bytes = 0;
    for (const auto& [base, entry] : spans_) {
      ASSERT_TRUE(holds(entry, entry.span->bytes()));
      ASSERT_EQ(heap_.map().span_of(Addr(base + entry.span->bytes() - 1)), entry.span);
      ASSERT_EQ(heap_.map().span_for_base(Addr(base)), entry.span);
      ASSERT_TRUE(is_valid(*entry.span));
      if (!entry.span->is_large()) continue;
      ++large;
      large_bytes += entry.span->bytes();
    }
    const PageHeapStats stats = heap_.stats();
    ASSERT_EQ(stats.in_use, Bytes(bytes_));
    ASSERT_EQ(stats.in_use + stats.free, stats.grown);
    ASSERT_LE(stats.scavenged, stats.free);
    ASSERT_EQ(stats.large_objects, large);
    ASSERT_EQ(stats.large_live, Bytes(large_bytes));
    ASSERT_EQ(stats.large_mallocs - stats.large_frees, large);
    ASSERT_GE(stats.peak_in_use, stats.in_use);
    std::uint64_t seen = 0;
    heap_.for_each_large([&](const Span& span) {
      const auto it = spans_.find(span.base);
      seen += it != spans_.end() && it->second.span == &span;
    });
    ASSERT_EQ(seen, large);
  }

  [[nodiscard]] const std::map<std::uint64_t, Entry>& spans() const { return spans_; }

 private:
  static bool holds(const Entry& entry, std::uint64_t bytes) {
    return Stamps::hold(Addr(entry.span->base).ptr(), bytes, entry.tag);
  }

  std::map<std::uint64_t, Entry>::iterator some() {
    auto it = spans_.begin();
    if (!spans_.empty()) std::advance(it, random_.below(spans_.size()));
    return it;
  }

  void refuse() {
    ++refused;
    ASSERT_TRUE(may_fail) << "no memory";
  }

  // No other span overlaps.
  void expect_alone(const Span& span) {
    auto above = spans_.upper_bound(span.base);
    if (above != spans_.end()) {
      ASSERT_LE(span.base + span.bytes(), above->first);
    }
    auto below = spans_.lower_bound(span.base);
    if (below == spans_.begin()) return;
    --below;
    ASSERT_LE(below->first + below->second.span->bytes(), span.base);
  }

  void enter(Span& span) {
    ASSERT_FALSE(spans_.contains(span.base));
    expect_alone(span);
    const std::uint64_t tag = ++tags_;
    Stamps::write(Addr(span.base).ptr(), span.bytes(), tag);
    spans_[span.base] = {&span, tag};
    bytes_ += span.bytes();
  }

  PageHeap& heap_;
  Random& random_;
  std::map<std::uint64_t, Entry> spans_;  // by first address
  std::uint64_t bytes_ = 0;
  std::uint64_t tags_ = 0;
};

// A fresh page heap on a fresh made-up OS with pages of the given size.
class PageHeapTest : public testing::TestWithParam<Bytes> {
 protected:
  explicit PageHeapTest(Bytes os_page = GetParam()) : os_page_(os_page) {
    set_message_sink(os::write_stderr);
    start_again();
  }
  ~PageHeapTest() override {
    heap.reset();
    fake_os::reset();
  }

  void start_again(fake_os::Options options = {}) {
    heap.reset();
    options.page_size = os_page_;
    fake_os::reset(options);
    heap = std::make_unique<PageHeap>();
  }

  Span& large(Bytes bytes, bool zeroed = false) {
    Span* span = heap->new_large_span(bytes, 16_B, zeroed);
    EXPECT_NE(span, nullptr);
    return *span;
  }

  std::unique_ptr<PageHeap> heap;

 private:
  const Bytes os_page_;
};

inline std::string os_page_name(const testing::TestParamInfo<Bytes>& info) {
  return std::to_string(info.param.n >> 10) + "KiB";
}

}  // namespace ream
