// Handoff: one thread allocates, another frees, never the other way round.
//
// What a pipeline does. Memory flows one way, so caches of the consumer fill while those of the
// producer are always empty.

#include <array>
#include <atomic>
#include <thread>

#include "support.h"

namespace bench {
namespace {

constexpr std::size_t kBatch = 256;
constexpr std::size_t kRing = 16;

// A ring of batches between one producer and one consumer. Either side sleeps in the kernel when
// the other is behind; a batch is large enough that this costs little per block.
//
// Thread safety: one thread calls slot_to_fill / publish, one other slot_to_drain / release.
// Invariant: drained_ <= filled_ <= drained_ + kRing; slots [drained_, filled_) belong to the
// consumer, the others to the producer.
class Ring {
 public:
  using Batch = std::array<Block, kBatch>;

  Batch& slot_to_fill() {
    const std::uint64_t next = filled_.load(std::memory_order_relaxed);
    std::uint64_t drained = drained_.load(std::memory_order_acquire);
    while (next - drained == kRing) {
      drained_.wait(drained, std::memory_order_acquire);
      drained = drained_.load(std::memory_order_acquire);
    }
    return batches_[next % kRing];
  }

  void publish() {
    filled_.fetch_add(1, std::memory_order_release);
    filled_.notify_one();
  }

  Batch& slot_to_drain() {
    const std::uint64_t next = drained_.load(std::memory_order_relaxed);
    std::uint64_t filled = filled_.load(std::memory_order_acquire);
    while (filled == next) {
      filled_.wait(filled, std::memory_order_acquire);
      filled = filled_.load(std::memory_order_acquire);
    }
    return batches_[next % kRing];
  }

  void release() {
    drained_.fetch_add(1, std::memory_order_release);
    drained_.notify_one();
  }

 private:
  alignas(64) std::atomic<std::uint64_t> filled_{0};
  alignas(64) std::atomic<std::uint64_t> drained_{0};
  alignas(64) std::array<Batch, kRing> batches_{};
};

Result handoff(std::size_t lo, std::size_t hi, std::uint64_t blocks) {
  static Ring ring;  // once per process: one workload runs in each
  const std::uint64_t batches = (blocks + kBatch - 1) / kBatch;
  std::thread producer([=] {
    Rng rng(10);
    std::uint32_t tag = 0;
    for (std::uint64_t i = 0; i < batches; ++i) {
      for (Block& block : ring.slot_to_fill()) {
        block = make_block(rng.between(lo, hi), tag++);
      }
      ring.publish();
    }
  });
  Result result;
  for (std::uint64_t i = 0; i < batches; ++i) {
    for (Block& block : ring.slot_to_drain()) {
      result.checksum += drop_block(block);
    }
    ring.release();
  }
  producer.join();
  result.ops = 2 * batches * kBatch;
  return result;
}

Result handoff_64(double scale) { return handoff(64, 65, scaled(10'000'000, scale)); }

Result handoff_16_1k(double scale) { return handoff(16, kKiB, scaled(4'000'000, scale)); }

Result handoff_4k_32k(double scale) { return handoff(4 * kKiB, 32 * kKiB, scaled(800'000, scale)); }

constexpr Workload kHandoffs[] = {
    {"handoff_64", "64 B blocks from a producer thread to a consumer thread", handoff_64},
    {"handoff_16_1k", "the same with 16 B to 1 KiB", handoff_16_1k},
    {"handoff_4k_32k", "the same with 4 to 32 KiB", handoff_4k_32k},
};

}  // namespace

std::span<const Workload> handoffs() { return kHandoffs; }

}  // namespace bench
