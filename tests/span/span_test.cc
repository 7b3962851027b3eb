// Spans against a model that keeps each object's state in the obvious way.
#include "span/span.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "support/effort.h"
#include "support/random.h"

namespace ream {
namespace {

constexpr Addr kBase{0x7100'0000'0000};  // no memory is behind it: spans never touch their pages
constexpr std::uint64_t kUnitBytes = 1u << kUnitShift;

// A span with room for its states; what lies behind them must stay zero or, behind the metadata, as
// it was.
class OwnedSpan {
 public:
  explicit OwnedSpan(std::size_t objects) : objects_(objects) {
    std::memset(memory_, 0x55, sizeof(memory_));  // of the span that had this memory before
  }
  Span& operator*() { return *reinterpret_cast<Span*>(memory_); }
  Span* operator->() { return &**this; }

  bool untouched_behind() const {
    for (std::size_t i = span_metadata_bytes(objects_); i < sizeof(memory_); ++i) {
      if (memory_[i] != 0x55) return false;
    }
    return true;
  }

 private:
  std::size_t objects_;
  alignas(64) unsigned char memory_[sizeof(Span) + 640];
};

std::unique_ptr<OwnedSpan> small_span(ClassIndex c, bool zero = false) {
  auto span = std::make_unique<OwnedSpan>(kSizeClasses[c].objects);
  init_small_span(**span, kBase, c, 3, zero);
  return span;
}

// One object by its state.
bool give_object(Span& span, std::uint8_t* state) {
  const auto index = static_cast<std::uint32_t>(state - span.states());
  const Taken one{Addr(span.object_address(index)).ptr(), state};
  return give_objects(span, &one, 1) == 1;
}

TEST(SpanTest, ANewSpanHasAllObjectsFree) {
  for (std::size_t c = 1; c < kClassCount; ++c) {
    for (const bool zero : {false, true}) {
      auto owned = small_span(static_cast<ClassIndex>(c), zero);
      Span& span = **owned;
      EXPECT_EQ(span.base, kBase.n);
      EXPECT_EQ(span.size_class, c);
      EXPECT_EQ(span.shard, 3);
      EXPECT_EQ(span.bytes(), kSizeClasses[c].span_pages * kPageBytes);
      EXPECT_EQ(span.usable_bytes(), kSizeClasses[c].object_bytes);
      EXPECT_FALSE(span.is_large());
      EXPECT_EQ(span.used, 0);
      for (unsigned i = 0; i < span.objects; ++i)
        ASSERT_EQ(span.states()[i], zero ? kFreeZero : kFree);
      ASSERT_EQ(span.states()[span.objects], kFree);  // the tail
      EXPECT_TRUE(is_valid(span));
      EXPECT_TRUE(owned->untouched_behind());
    }
  }
}

TEST(SpanTest, ALargeSpanIsOneLiveObject) {
  OwnedSpan owned(1);
  init_large_span(*owned, kBase, 1000_pages, 8'000'001_B);
  EXPECT_TRUE(owned->is_large());
  EXPECT_EQ(owned->usable_bytes(), 1000 * kPageBytes);
  EXPECT_EQ(owned->requested_bytes, 8'000'001u);
  EXPECT_EQ(owned->objects, 1);
  EXPECT_EQ(owned->used, 1);
  EXPECT_EQ(owned->states()[0], kLive);
  EXPECT_EQ(owned->states()[1], kFree);
  EXPECT_TRUE(is_valid(*owned));
  EXPECT_EQ(owned->index_of(kBase.n + 999 * kPageBytes), 0u);
  EXPECT_TRUE(owned->contains(kBase.n));
  EXPECT_TRUE(owned->contains(kBase.n + 1000 * kPageBytes - 1));
  EXPECT_FALSE(owned->contains(kBase.n + 1000 * kPageBytes));
  EXPECT_FALSE(owned->contains(kBase.n - 1));
}

TEST(SpanTest, EveryAddressFindsItsObjectOrTheTail) {
  for (std::size_t c = 1; c < kClassCount; ++c) {
    auto owned = small_span(static_cast<ClassIndex>(c));
    Span& span = **owned;
    for (unsigned i = 0; i < span.objects; ++i) {
      const std::uint64_t begin = span.object_address(i);
      ASSERT_EQ(span.index_of(begin), i);
      ASSERT_EQ(span.index_of(begin + span.object_bytes - 1), i);
    }
    for (std::uint64_t a = span.object_address(span.objects); a < kBase.n + span.bytes(); ++a) {
      ASSERT_EQ(span.index_of(a), span.objects);
      ASSERT_EQ(load_state(span.states()[span.index_of(a)]), kFree);  // never live
    }
  }
}

TEST(SpanTest, TakesTheLowestFreeObjectsFirst) {
  auto owned = small_span(class_of(48));
  Span& span = **owned;
  std::vector<Taken> taken(span.objects);
  ASSERT_EQ(take_objects(span, taken.data(), 40), 40u);
  for (unsigned i = 0; i < 40; ++i) {
    EXPECT_EQ(Addr(taken[i].object).n, span.object_address(i));
    EXPECT_EQ(taken[i].state, span.states() + i);
    EXPECT_EQ(*taken[i].state, kCached);
  }
  for (const unsigned i : {31u, 7u, 8u, 0u}) ASSERT_TRUE(give_object(span, span.states() + i));
  Taken again[6];
  ASSERT_EQ(take_objects(span, again, 6), 6u);
  const unsigned expected[] = {0, 7, 8, 31, 40, 41};
  for (unsigned i = 0; i < 6; ++i)
    EXPECT_EQ(Addr(again[i].object).n, span.object_address(expected[i]));
  EXPECT_EQ(span.used, 42);
  EXPECT_TRUE(is_valid(span));
}

TEST(SpanTest, TakesNoMoreThanThereAre) {
  for (std::size_t c = 1; c < kClassCount; ++c) {
    auto owned = small_span(static_cast<ClassIndex>(c));
    Span& span = **owned;
    std::vector<Taken> taken(span.objects + 1u);
    EXPECT_EQ(take_objects(span, taken.data(), 0), 0u);
    EXPECT_EQ(take_objects(span, taken.data(), span.objects + 1u), span.objects);
    EXPECT_EQ(take_objects(span, taken.data(), 1), 0u);
    EXPECT_EQ(span.used, span.objects);
    EXPECT_EQ(span.states()[span.objects], kFree);
    EXPECT_TRUE(is_valid(span));
    for (unsigned i = span.objects; i-- > 0;) ASSERT_TRUE(give_object(span, span.states() + i));
    EXPECT_EQ(span.used, 0);
    EXPECT_TRUE(is_valid(span));
    EXPECT_TRUE(owned->untouched_behind());
  }
}

TEST(SpanTest, ASecondGiveIsRefusedAndChangesNothing) {
  auto owned = small_span(class_of(100));
  Span& span = **owned;
  Taken taken[3];
  ASSERT_EQ(take_objects(span, taken, 3), 3u);
  ASSERT_TRUE(give_object(span, taken[1].state));
  const OwnedSpan before = *owned;
  EXPECT_FALSE(give_object(span, taken[1].state));
  EXPECT_FALSE(give_object(span, span.states() + span.objects - 1));  // never taken
  EXPECT_EQ(std::memcmp(&before, owned.get(), sizeof(before)), 0);
}

TEST(SpanTest, GivesARunUpToWhatIsNotItsOwnOrNotTaken) {
  auto owned = small_span(class_of(100));
  auto other = small_span(class_of(100));
  Span& span = **owned;
  std::array<Taken, 6> taken;
  ASSERT_EQ(take_objects(span, taken.data(), 5), 5u);
  ASSERT_EQ(take_objects(**other, &taken[5], 1), 1u);
  std::swap(taken[3], taken[5]);  // 0 1 2 other 4 3
  EXPECT_EQ(give_objects(span, taken.data(), 6), 3u);
  EXPECT_EQ(span.used, 2);
  EXPECT_EQ(give_objects(span, taken.data() + 3, 3), 0u);
  EXPECT_EQ(give_objects(**other, taken.data() + 3, 3), 1u);
  const std::array<Taken, 3> twice{taken[4], taken[4], taken[5]};
  EXPECT_EQ(give_objects(span, twice.data(), 3), 1u);
  EXPECT_EQ(give_objects(span, twice.data() + 1, 2), 0u);
  EXPECT_EQ(give_objects(span, twice.data() + 2, 1), 1u);
  EXPECT_EQ(span.used, 0);
  EXPECT_EQ(span.hint, 0);
  EXPECT_TRUE(is_valid(span));
  EXPECT_TRUE(is_valid(**other));
}

TEST(SpanTest, ZeroIsRememberedUntilTheObjectWasLive) {
  auto owned = small_span(class_of(64), true);
  Span& span = **owned;
  Taken taken[2];
  ASSERT_EQ(take_objects(span, taken, 2), 2u);
  EXPECT_EQ(*taken[0].state, kCachedZero);
  store_state(*taken[1].state, kLive);
  store_state(*taken[1].state, kCached);
  ASSERT_TRUE(give_object(span, taken[0].state));
  ASSERT_TRUE(give_object(span, taken[1].state));
  EXPECT_EQ(*taken[0].state, kFreeZero);
  EXPECT_EQ(*taken[1].state, kFree);
}

TEST(SpanTest, WhatIsWrongIsFound) {
  auto owned = small_span(class_of(512));
  Span& span = **owned;
  Taken taken[5];
  ASSERT_EQ(take_objects(span, taken, 5), 5u);
  ASSERT_TRUE(is_valid(span));
  const auto with = [&](auto change) {
    OwnedSpan copy = *owned;
    change(*copy);
    return is_valid(*copy);
  };
  EXPECT_FALSE(with([](Span& s) { s.base += 16; }));
  EXPECT_FALSE(with([](Span& s) { s.pages = 0; }));
  EXPECT_FALSE(with([](Span& s) { ++s.used; }));
  EXPECT_FALSE(with([](Span& s) { s.states()[2] = kFree; }));
  EXPECT_FALSE(with([](Span& s) { s.states()[20] = kLive; }));
  EXPECT_FALSE(with([](Span& s) { s.states()[s.objects] = kLive; }));
  EXPECT_FALSE(with([](Span& s) { s.purged = 1; }));
  EXPECT_TRUE(with([](Span&) {}));
}

// What is known of one object, and what of one unit.
struct Model {
  explicit Model(const Span& span, bool zero)
      : states(span.objects, zero ? kFreeZero : kFree),
        purged(span.bytes() / kUnitBytes, zero),
        object_bytes(span.object_bytes) {}

  bool overlap(std::size_t object, std::size_t unit) const {
    return object * object_bytes < (unit + 1) * kUnitBytes &&
           unit * kUnitBytes < (object + 1) * object_bytes;
  }
  void take(std::size_t i) {
    states[i] = states[i] == kFreeZero ? kCachedZero : kCached;
    for (std::size_t u = 0; u < purged.size(); ++u) {
      if (overlap(i, u)) purged[u] = false;
    }
  }
  std::uint64_t purgeable() const {
    std::uint64_t units = 0;
    for (std::size_t u = 0; u < purged.size(); ++u) {
      bool busy = purged[u];
      for (std::size_t i = 0; i < states.size(); ++i)
        busy = busy || ((states[i] & kTakenBit) != 0 && overlap(i, u));
      if (!busy) units |= std::uint64_t{1} << u;
    }
    return units;
  }
  void purge(std::uint64_t units) {
    for (std::size_t u = 0; u < purged.size(); ++u) {
      if ((units >> u & 1) != 0) purged[u] = true;
    }
    for (std::size_t i = 0; i < states.size(); ++i) {
      if (states[i] != kFree) continue;
      bool zero = true;
      for (std::size_t u = 0; u < purged.size(); ++u) zero = zero && (!overlap(i, u) || purged[u]);
      if (zero) states[i] = kFreeZero;
    }
  }
  std::vector<std::size_t> with(std::uint8_t bits, std::uint8_t value) const {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < states.size(); ++i) {
      if ((states[i] & bits) == value) found.push_back(i);
    }
    return found;
  }

  std::vector<std::uint8_t> states;
  std::vector<bool> purged;
  std::uint64_t object_bytes;
};

void compare(Span& span, const Model& model) {
  ASSERT_EQ(span.used, model.with(kTakenBit, kTakenBit).size());
  ASSERT_EQ(std::memcmp(span.states(), model.states.data(), model.states.size()), 0);
  ASSERT_EQ(span.states()[span.objects], kFree);
  for (std::size_t u = 0; u < model.purged.size(); ++u)
    ASSERT_EQ((span.purged >> u & 1) != 0, model.purged[u]) << "unit " << u;
  ASSERT_TRUE(is_valid(span));
}

void one_step(Span& span, Model& model, Random& random) {
  const auto taken = model.with(kTakenBit, kTakenBit);
  switch (random.below(6)) {
    case 0: {  // fetch
      const std::size_t max = random.between(1, span.objects);
      std::vector<Taken> out(max);
      const auto free = model.with(kTakenBit, 0);
      const std::size_t expected = std::min(max, free.size());
      ASSERT_EQ(take_objects(span, out.data(), static_cast<std::uint32_t>(max)), expected);
      for (std::size_t i = 0; i < expected; ++i) {
        ASSERT_EQ(Addr(out[i].object).n, span.object_address(static_cast<unsigned>(free[i])));
        ASSERT_EQ(out[i].state, span.states() + free[i]);
        model.take(free[i]);
      }
      break;
    }
    case 1:
    case 2: {  // malloc, free
      if (taken.empty()) break;
      const std::size_t i = random.pick(taken);
      model.states[i] = model.states[i] == kLive ? kCached : kLive;
      store_state(span.states()[i], model.states[i]);
      break;
    }
    case 3:
    case 4: {  // flush some
      for (std::size_t n = random.below(taken.size() + 1); n > 0; --n) {
        const std::size_t i = random.pick(taken);
        if (model.states[i] == kLive) continue;
        const bool cached = (model.states[i] & kTakenBit) != 0;
        ASSERT_EQ(give_object(span, span.states() + i), cached);
        if (cached) model.states[i] = model.states[i] == kCachedZero ? kFreeZero : kFree;
      }
      break;
    }
    default: {  // the OS takes some units
      const std::uint64_t units = purgeable_units(span);
      ASSERT_EQ(units, model.purgeable());
      if (random.one_in(2)) break;
      const std::uint64_t some = units & (random.one_in(2) ? ~0ULL : random.next());
      mark_purged(span, some);
      model.purge(some);
    }
  }
}

TEST(SpanTest, RandomStepsEqualTheModel) {
  for (std::size_t c = 1; c < kClassCount; c += c < 40 ? 3 : 5) {
    for (const bool zero : {false, true}) {
      const std::uint64_t seed = c * 2 + zero;
      REAM_TRACE_SEED(seed);
      Random random(seed);
      auto owned = small_span(static_cast<ClassIndex>(c), zero);
      Model model(**owned, zero);
      for (unsigned i = 0; i < 60 * kEffort; ++i) {
        one_step(**owned, model, random);
        compare(**owned, model);
        if (testing::Test::HasFatalFailure()) return;
      }
      EXPECT_TRUE(owned->untouched_behind());
    }
  }
}

}  // namespace
}  // namespace ream
