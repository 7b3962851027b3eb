// Tails: how long single calls of malloc and free take, the slowest above all.
//
// What a program that answers requests feels is not the average call but the one in ten thousand
// that finds a cache empty, waits for a lock, or gives memory back. How a call is timed on a
// machine with fewer processors than threads is told in call_clock.h. First use of memory is not
// timed, wherever its page faults come from: the calls alone are.

#include <array>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "call_clock.h"
#include "support.h"

namespace bench {
namespace {

// Not kThreads: more than the machine has processors, as in most servers.
constexpr unsigned kMixedThreads = 8;
constexpr std::size_t kLongLived = 1000;  // slots of a thread; one step in five replaces one
constexpr std::size_t kShortLived = 64;
constexpr std::size_t kBatch = 32;  // blocks given to the neighbour at once
constexpr std::size_t kInboxMax = 1024;
constexpr unsigned kEmptyCalls = 10'000;  // timed to know what timing costs

// Blocks that the thread before left for this one.
//
// Invariant: count <= kInboxMax; blocks[0, count) are live.
struct alignas(64) Inbox {
  std::mutex mutex;
  std::size_t count = 0;                  // guarded by mutex
  std::array<Block, kInboxMax> blocks{};  // guarded by mutex

  // False, with nothing changed, where there is no room.
  bool put(const std::array<Block, kBatch>& batch) {
    const std::lock_guard lock(mutex);
    if (kInboxMax - count < kBatch) {
      return false;
    }
    for (const Block& block : batch) {
      blocks[count++] = block;
    }
    return true;
  }

  // Takes at most a batch out. Returns how many blocks of `batch` are valid.
  std::size_t take(std::array<Block, kBatch>& batch) {
    const std::lock_guard lock(mutex);
    std::size_t taken = 0;
    while (taken < kBatch && count > 0) {
      batch[taken++] = blocks[--count];
    }
    return taken;
  }
};

// What a thread knows. Made before any thread starts, so that nothing is allocated meanwhile but
// what is timed.
class Worker {
 public:
  Worker(unsigned self, double ticks_per_ns, Inbox& mine, Inbox& next)
      : rng_(600 + self), ticks_per_ns_(ticks_per_ns), mine_(mine), next_(next) {}

  void run(std::uint64_t steps) {
    CallClock clock(ticks_per_ns_);
    clock_ = &clock;
    for (std::uint64_t i = 0; i < steps; ++i) {
      Block& slot =
          rng_.below(5) == 0 ? long_[rng_.below(kLongLived)] : short_[rng_.below(kShortLived)];
      const bool given = rng_.below(8) == 0;
      const std::size_t bytes = rng_.below(512) == 0 ? kMiB : rng_.log_between(16, 64 * kKiB);
      const Block old = std::exchange(slot, make(bytes, static_cast<std::uint32_t>(i)));
      if (old.data != nullptr && given) {
        give(old);
      } else {
        drop(old);
      }
    }
    for (Block& block : long_) {
      drop(std::exchange(block, Block{}));
    }
    for (Block& block : short_) {
      drop(std::exchange(block, Block{}));
    }
    while (waiting_ > 0) {
      drop(batch_[--waiting_]);
    }
    slept = clock.slept();
    clock_ = nullptr;
  }

  Histogram mallocs;
  Histogram frees;
  std::uint64_t slept = 0;
  std::uint64_t sum = 0;

 private:
  Block make(std::size_t bytes, std::uint32_t tag) {
    const std::uint64_t begun = clock_->begin();
    void* const data = must_malloc(bytes);
    clock_->end(begun, mallocs);
    return stamp_block(data, bytes, tag);
  }

  void drop(const Block& block) {
    if (block.data == nullptr) {
      return;
    }
    sum += check_block(block);
    const std::uint64_t begun = clock_->begin();
    std::free(block.data);
    clock_->end(begun, frees);
  }

  // Leaves `block` to the next thread, when there is a batch of them, and frees what was left to
  // this one. A neighbour that does not come to run leaves its inbox full; then this thread frees.
  void give(const Block& block) {
    batch_[waiting_++] = block;
    if (waiting_ < kBatch) {
      return;
    }
    waiting_ = next_.put(batch_) ? mine_.take(batch_) : kBatch;
    while (waiting_ > 0) {
      drop(batch_[--waiting_]);
    }
  }

  Rng rng_;
  double ticks_per_ns_;
  Inbox& mine_;
  Inbox& next_;
  CallClock* clock_ = nullptr;  // of the running thread
  std::array<Block, kLongLived> long_{};
  std::array<Block, kShortLived> short_{};
  std::array<Block, kBatch> batch_{};
  std::size_t waiting_ = 0;  // blocks in batch_
};

// What the clock shows for a call that does nothing.
double empty_ticks(double ticks_per_ns) {
  CallClock clock(ticks_per_ns);
  Histogram times;
  for (unsigned i = 0; i < kEmptyCalls; ++i) {
    clock.end(clock.begin(), times);
  }
  return static_cast<double>(times.quantile(0.5));
}

struct Name {
  double part;
  const char* of_malloc;
  const char* of_free;
};

constexpr Name kNames[] = {{0.5, "malloc p50", "free p50"},
                           {0.99, "malloc p99", "free p99"},
                           {0.999, "malloc p99.9", "free p99.9"},
                           {0.9999, "malloc p99.99", "free p99.99"},
                           {1, "malloc max", "free max"}};

std::vector<Figure> figures_of(const Histogram& mallocs, const Histogram& frees,
                               std::uint64_t slept, double ticks_per_ns) {
  const double empty = empty_ticks(ticks_per_ns);
  const auto ns = [&](const Histogram& times, double part) {
    const auto ticks = static_cast<double>(times.quantile(part));
    return ticks > empty ? (ticks - empty) / ticks_per_ns : 0;
  };
  std::vector<Figure> figures;
  for (const Name& name : kNames) {
    figures.push_back({name.of_malloc, "ns", ns(mallocs, name.part)});
  }
  for (const Name& name : kNames) {
    figures.push_back({name.of_free, "ns", ns(frees, name.part)});
  }
  const auto calls = static_cast<double>(mallocs.total() + frees.total());
  figures.push_back({"calls that slept", "ppm", static_cast<double>(slept) / calls * 1e6});
  return figures;
}

Result tail_mixed(double scale) {
  const std::uint64_t steps = scaled(400'000, scale);
  const double ticks_per_ns = measure_ticks_per_ns();
  std::vector<Inbox> inboxes(kMixedThreads);
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < kMixedThreads; ++i) {
    workers.push_back(
        std::make_unique<Worker>(i, ticks_per_ns, inboxes[i], inboxes[(i + 1) % kMixedThreads]));
  }
  run_threads(kMixedThreads, [&](unsigned self) { workers[self]->run(steps); });
  Result result;
  Histogram mallocs;
  Histogram frees;
  std::uint64_t slept = 0;
  for (const auto& worker : workers) {
    mallocs.add_all(worker->mallocs);
    frees.add_all(worker->frees);
    slept += worker->slept;
    result.checksum += worker->sum;
  }
  for (Inbox& inbox : inboxes) {
    for (std::size_t i = 0; i < inbox.count; ++i) {
      result.checksum += drop_block(inbox.blocks[i]);
    }
  }
  result.ops = 2 * steps * kMixedThreads;
  result.figures = figures_of(mallocs, frees, slept, ticks_per_ns);
  return result;
}

constexpr Workload kTails[] = {
    {"tail_mixed",
     "8 threads, 16 B to 64 KiB and some of 1 MiB: the slowest calls; see its figures", tail_mixed},
};

}  // namespace

std::span<const Workload> tails() { return kTails; }

}  // namespace bench
