#include "inspect/reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "heap/heap.h"
#include "support/no_worker.h"

namespace ream::inspect {
namespace {

std::uint64_t root_address() { return Addr(&ream_root).n; }

// Objects of known sizes, freed at the end.
class Objects {
 public:
  ~Objects() {
    for (void* p : all_) g_heap.free(p);
  }
  void* add(std::size_t bytes) {
    all_.push_back(g_heap.allocate(bytes));
    return all_.back();
  }

 private:
  std::vector<void*> all_;
};

std::unique_ptr<Reader> open_own() {
  auto reader = std::make_unique<Reader>();
  EXPECT_EQ(reader->open(own_memory(), root_address()), OpenResult::kOk);
  return reader;
}

TEST(Reader, PagesAreWhatThePageAllocatorSays) {
  Objects objects;
  for (int i = 0; i < 100; ++i) objects.add(3000);
  objects.add(9 << 20);
  g_heap.free(g_heap.allocate(1 << 20));
  const auto reader = open_own();
  ChunkView chunk;
  std::uint64_t pages[3] = {};
  std::uint64_t last = 0;
  while (reader->next_chunk(chunk)) {
    EXPECT_GT(chunk.base, last);
    last = chunk.base;
    const WindowAlloc* window = g_heap.page_heap().window(chunk.base >> 44);
    ASSERT_NE(window, nullptr);
    for (unsigned i = 0; i < kChunkBits; ++i) {
      const auto bit = [i](std::uint64_t word) { return (word >> (i % 64) & 1) != 0; };
      const page::PageState state = window->page_state(Addr(chunk.base + i * kPageBytes));
      EXPECT_EQ(bit(chunk.used[i / 64]), state == page::PageState::kInUse);
      EXPECT_EQ(bit(chunk.free_word(i / 64)), state == page::PageState::kFree);
      EXPECT_EQ(bit(chunk.scavenged_word(i / 64)), state == page::PageState::kScavenged);
    }
    for (unsigned w = 0; w < kChunkBitWords; ++w) {
      pages[0] += static_cast<unsigned>(std::popcount(chunk.used[w]));
      pages[1] += static_cast<unsigned>(std::popcount(chunk.free_word(w)));
      pages[2] += static_cast<unsigned>(std::popcount(chunk.scavenged_word(w)));
    }
  }
  const HeapStats stats = g_heap.stats();
  EXPECT_EQ(pages[0] * kPageBytes, stats.in_use.n);
  EXPECT_EQ((pages[1] + pages[2]) * kPageBytes, stats.free.n);
  EXPECT_EQ(pages[2] * kPageBytes, stats.scavenged.n);
  EXPECT_EQ(reader->torn(), 0u);
}

TEST(Reader, FindsEverySpanAndObject) {
  Objects objects;
  std::map<std::uint64_t, std::uint64_t> large;  // base -> requested
  std::set<const Span*> small;
  for (const std::size_t bytes : {16, 24, 100, 1000, 5000, 70000, 200000, 262144}) {
    for (int i = 0; i < 50; ++i) small.insert(g_heap.span_of(objects.add(bytes)));
  }
  for (const std::size_t bytes : {300'000, 1 << 20, 5 << 20, 13 << 20}) {
    large[Addr(objects.add(bytes)).n] = bytes;
  }
  const auto reader = open_own();
  ChunkView chunk;
  SpanView span;
  std::map<std::uint64_t, SpanView> found;
  while (reader->next_chunk(chunk)) {
    while (reader->next_span(span)) {
      EXPECT_GE(span.base, chunk.base);
      EXPECT_TRUE(found.emplace(span.base, span).second);
    }
  }
  for (const Span* s : small) {
    ASSERT_TRUE(found.contains(s->base));
    const SpanView& view = found[s->base];
    EXPECT_EQ(view.pages, s->pages);
    EXPECT_EQ(view.size_class, s->size_class);
    EXPECT_EQ(view.object_bytes, s->object_bytes);
    EXPECT_EQ(view.live + view.cached, s->used);
    EXPECT_EQ(view.free(), s->objects - s->used);
  }
  for (const auto& [base, requested] : large) {
    ASSERT_TRUE(found.contains(base));
    EXPECT_EQ(found[base].size_class, 0u);
    EXPECT_EQ(found[base].live, 1u);
    EXPECT_EQ(found[base].requested_bytes, requested);
    EXPECT_GE(found[base].object_bytes, requested);
  }
  EXPECT_EQ(reader->torn(), 0u);
}

TEST(Reader, CountersAreTheHeaps) {
  Objects objects;
  for (int i = 0; i < 1000; ++i) objects.add(64);
  for (int i = 0; i < 10; ++i) g_heap.free(g_heap.allocate(64));
  const auto reader = open_own();
  CounterView view;
  ASSERT_TRUE(reader->read_counters(view));
  const HeapStats stats = g_heap.stats();
  EXPECT_EQ(view.in_use_pages * kPageBytes, stats.in_use.n);
  EXPECT_EQ(view.peak_in_use_bytes, stats.max.n);
  EXPECT_EQ(view.metadata_bytes, stats.metadata.n);
  EXPECT_EQ(view.threads, stats.threads);
  EXPECT_EQ(view.purged_bytes, stats.purged_bytes);
  for (std::size_t c = 1; c < kClassCount; ++c) {
    EXPECT_EQ(view.frees[c], g_heap.class_stats(static_cast<ClassIndex>(c)).nfree) << c;
  }
}

TEST(Reader, RefusesWhatIsNoRoot) {
  Reader reader;
  const auto open = [&reader](const RootV1& root) {
    return reader.open(own_memory(), Addr(&root).n);
  };
  RootV1 root = ream_root;
  root.magic[3] = 'x';
  EXPECT_EQ(open(root), OpenResult::kNoRoot);
  root = ream_root;
  root.version = 2;
  EXPECT_EQ(open(root), OpenResult::kOtherVersion);
  root = ream_root;
  root.bytes = RootV1::kFirstBytes - 4;
  EXPECT_EQ(open(root), OpenResult::kBadRoot);
  root = ream_root;
  root.page_shift = 70;
  EXPECT_EQ(open(root), OpenResult::kBadRoot);
  root = ream_root;
  root.class_count = kMaxClasses + 1;
  EXPECT_EQ(open(root), OpenResult::kBadRoot);
  root = ream_root;
  root.span_min_bytes = 1 << 30;
  EXPECT_EQ(open(root), OpenResult::kBadRoot);
  const MemorySource nothing{
      [](void*, std::uint64_t, void*, std::size_t) noexcept { return false; }, nullptr};
  EXPECT_EQ(reader.open(nothing, root_address()), OpenResult::kUnreadable);
}

// What was added to the root later is not believed of a process that does not have it.
TEST(Reader, OpensTheFirstRootOfItsVersion) {
  RootV1 root = ream_root;
  root.bytes = RootV1::kFirstBytes;
  root.state_live_owned = 0;
  root.heap_sub_heap_pool = 0xffff'ffff;
  Reader reader;
  ASSERT_EQ(reader.open(own_memory(), Addr(&root).n), OpenResult::kOk);
  EXPECT_EQ(reader.root().heap_sub_heap_pool, 0u);
  CounterView counters;
  EXPECT_TRUE(reader.read_counters(counters));
  EXPECT_EQ(reader.torn(), 0u);
}

// ---- a source that lies, as the memory of a running process may seem to

// The memory of a heap, copied on first sight, so that lies about it cannot lead into real memory
// that is not there: everything else is unreadable.
class Liar {
 public:
  enum class Lie { kGarbage, kFlips, kFailures, kOnes };

  Liar(Lie lie, unsigned seed, unsigned one_in) : lie_(lie), random_(seed), one_in_(one_in) {}

  MemorySource source() {
    return {[](void* context, std::uint64_t address, void* to, std::size_t n) noexcept {
              return static_cast<Liar*>(context)->read(address, to, n);
            },
            this};
  }

 private:
  bool read(std::uint64_t address, void* to, std::size_t n) noexcept {
    const bool is_root = address >= root_address() && address < root_address() + sizeof(RootV1);
    const bool known = is_root || is_readable(address, n);
    const bool lies = !is_root && random_() % one_in_ == 0;
    auto* bytes = static_cast<unsigned char*>(to);
    if (lies && lie_ == Lie::kFailures) return false;
    if (lies && lie_ == Lie::kGarbage) {
      std::uint64_t word = random_();
      for (std::size_t i = 0; i < n; ++i, word = word * 6364136223846793005u + 1) {
        bytes[i] = static_cast<unsigned char>(word >> 56);
      }
      return true;
    }
    if (lies && lie_ == Lie::kOnes) {
      std::memset(to, 0xff, n);
      return true;
    }
    if (!known) return false;
    std::memcpy(to, reinterpret_cast<const void*>(address), n);
    if (lies) bytes[random_() % n] ^= static_cast<unsigned char>(1u << random_() % 8);
    return true;
  }

  // What the true heap consists of: the object itself and its metadata, which the true reader
  // reads.
  static bool is_readable(std::uint64_t address, std::size_t n) {
    static const std::set<std::pair<std::uint64_t, std::uint64_t>> kSeen = learn();
    auto it = kSeen.upper_bound({address, ~0ull});
    if (it == kSeen.begin()) return false;
    --it;
    return address >= it->first && address + n <= it->second && address + n > address;
  }

  // Every range that an honest walk reads.
  static std::set<std::pair<std::uint64_t, std::uint64_t>> learn() {
    std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
    const MemorySource spy{
        [](void* context, std::uint64_t address, void* to, std::size_t n) noexcept {
          static_cast<std::set<std::pair<std::uint64_t, std::uint64_t>>*>(context)->insert(
              {address, address + n});
          std::memcpy(to, reinterpret_cast<const void*>(address), n);
          return true;
        },
        &seen};
    auto reader = std::make_unique<Reader>();
    EXPECT_EQ(reader->open(spy, root_address()), OpenResult::kOk);
    walk(*reader);
    return seen;
  }

 public:
  // Reads all there is; returns how many spans. Every view keeps what the header promises.
  static std::uint64_t walk(Reader& reader) {
    CounterView counters;
    static_cast<void>(reader.read_counters(counters));
    ChunkView chunk;
    SpanView span;
    std::uint64_t spans = 0;
    std::uint64_t last = 0;
    while (reader.next_chunk(chunk)) {
      EXPECT_TRUE(last == 0 || chunk.base != last);
      last = chunk.base;
      std::uint64_t last_span = 0;
      while (reader.next_span(span)) {
        EXPECT_GT(span.base, last_span);
        last_span = span.base;
        EXPECT_GE(span.base, chunk.base);
        EXPECT_LT(span.base, chunk.base + kChunkBits * kPageBytes);
        EXPECT_GT(span.pages, 0u);
        EXPECT_LE(span.live + span.cached, span.objects);
        EXPECT_LE(span.object_bytes * span.objects, span.pages * kPageBytes);
        ++spans;
      }
    }
    return spans;
  }

 private:
  Lie lie_;
  std::minstd_rand random_;
  unsigned one_in_;
};

class TornReader : public testing::TestWithParam<Liar::Lie> {};

TEST_P(TornReader, EndsWhateverItReads) {
  Objects objects;
  for (int i = 0; i < 3000; ++i) objects.add(static_cast<std::size_t>(i) % 700 + 1);
  for (int i = 0; i < 5; ++i) objects.add(2 << 20);
  const auto reader = std::make_unique<Reader>();
  for (unsigned seed = 1; seed <= 24; ++seed) {
    Liar liar(GetParam(), seed, seed % 3 == 0 ? 1 : seed % 3 == 1 ? 5 : 200);
    if (reader->open(liar.source(), root_address()) != OpenResult::kOk) continue;
    Liar::walk(*reader);
  }
}

INSTANTIATE_TEST_SUITE_P(Lies, TornReader,
                         testing::Values(Liar::Lie::kGarbage, Liar::Lie::kFlips,
                                         Liar::Lie::kFailures, Liar::Lie::kOnes));

// Roots that are wrong in one bit: open refuses them, or the walk ends.
TEST(TornRoot, EndsWhateverTheRootSays) {
  Objects objects;
  objects.add(100);
  Liar honest(Liar::Lie::kFailures, 1, ~0u);
  Liar::walk(*open_own());
  const auto reader = std::make_unique<Reader>();
  for (std::size_t bit = 64; bit < sizeof(RootV1) * 8; bit += 3) {
    RootV1 root = ream_root;
    reinterpret_cast<unsigned char*>(&root)[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
    struct Context {
      MemorySource honest;
      std::uint64_t at;
    } context{honest.source(), Addr(&root).n};
    const MemorySource source{[](void* c, std::uint64_t address, void* to, std::size_t n) noexcept {
                                const auto& k = *static_cast<Context*>(c);
                                if (address < k.at || address + n > k.at + sizeof(RootV1))
                                  return k.honest.read(address, to, n);
                                std::memcpy(to, reinterpret_cast<const void*>(address), n);
                                return true;
                              },
                              &context};
    if (reader->open(source, context.at) == OpenResult::kOk) Liar::walk(*reader);
  }
}

}  // namespace
}  // namespace ream::inspect
