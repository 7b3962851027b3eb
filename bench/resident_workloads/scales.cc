// One amount of work done by 1, 2, 8, 64 or 1000 threads: what does a thread more cost, in time, in
// memory while all work in turn, and when all sleep?
//
// At most eight threads run at once. Each of them has a baton, does a turn of work and passes the
// baton on to a thread that slept since the last round, as the threads of a server do that waits
// for requests. With the baton go a few blocks, which the next thread frees.

#include <algorithm>
#include <array>
#include <latch>
#include <memory>
#include <semaphore>
#include <thread>
#include <vector>

#include "phase.h"
#include "workload.h"

namespace resident {
namespace {

constexpr unsigned kBatons = 8;
constexpr unsigned kTurns = 8000;     // of all threads together
constexpr unsigned kReplaces = 1000;  // of a turn
constexpr std::size_t kLive = 100;    // blocks of a thread: 80 KB on average
constexpr std::size_t kPassed = 32;   // blocks that go with a baton

// What goes from thread to thread. Only the thread whose turn it is looks at it.
struct alignas(64) Baton {
  std::array<bench::Block, kPassed> blocks{};
  std::uint64_t sum = 0;
};

struct alignas(64) Seat {
  std::binary_semaphore turn{0};
};

using Blocks = std::array<bench::Block, kLive>;

// Frees what the thread before left, replaces blocks of the own ones, and leaves some to the next.
void take_turn(Blocks& mine, Baton& baton, bench::Rng& rng) {
  const auto make = [&rng] {
    return bench::make_block(rng.log_between(16, 8 * bench::kKiB),
                             static_cast<std::uint32_t>(rng.below(1000)));
  };
  for (bench::Block& block : baton.blocks) {
    baton.sum += bench::drop_block(block);
  }
  for (unsigned i = 0; i < kReplaces; ++i) {
    bench::Block& block = mine[rng.below(kLive)];
    baton.sum += bench::drop_block(block);
    block = make();
  }
  for (bench::Block& block : baton.blocks) {
    block = make();
  }
}

template <unsigned kCount>
std::uint64_t scale(const Effort& effort) {
  constexpr unsigned kRunning = std::min(kCount, kBatons);
  static_assert(kCount % kRunning == 0, "a baton comes round to where it began");
  const auto rounds = std::max<std::uint64_t>(1, effort.sized(kTurns) / kCount);
  const auto seats = std::make_unique<std::array<Seat, kCount>>();
  const auto batons = std::make_unique<std::array<Baton, kRunning>>();
  std::latch ready(kCount);
  std::latch done(kCount);
  std::latch end(1);
  std::vector<std::thread> threads;
  threads.reserve(kCount);
  for (unsigned self = 0; self < kCount; ++self) {
    threads.emplace_back([&, self] {
      bench::Rng rng(self);
      Blocks mine{};
      bench::escape(mine.data());
      Baton& baton = (*batons)[self % kRunning];
      Seat& next = (*seats)[self + kRunning < kCount ? self + kRunning : self % kRunning];
      ready.count_down();
      for (std::uint64_t round = 0; round < rounds; ++round) {
        (*seats)[self].turn.acquire();
        take_turn(mine, baton, rng);
        next.turn.release();
      }
      // Only now, so that in the last round all threads' blocks are live at once.
      (*seats)[self].turn.acquire();
      for (bench::Block& block : mine) {
        baton.sum += bench::drop_block(block);
      }
      next.turn.release();
      done.count_down();
      end.wait();
    });
  }
  ready.wait();
  report_start(0);
  reset_peak_rss();
  const Phase working("worked");
  for (unsigned i = 0; i < kRunning; ++i) {
    (*seats)[i].turn.release();
  }
  done.wait();
  std::uint64_t checksum = 0;
  for (Baton& baton : *batons) {
    checksum += baton.sum;
    for (bench::Block& block : baton.blocks) {
      checksum += bench::drop_block(block);
    }
  }
  const std::uint64_t blocks = rounds * kCount * (kReplaces + kPassed);
  working.end({{"count", static_cast<std::int64_t>(2 * blocks)}, {"peak_rss_kib", peak_rss_kib()}});
  const Phase sleeping("after 2 s");
  sleep_until(spent_now().wall_ns + effort.wait_ns(2));
  sleeping.end();
  end.count_down();
  for (std::thread& thread : threads) {
    thread.join();
  }
  return checksum;
}

constexpr Workload kScales[] = {
    {"scale_1", "8 million blocks of 16 B to 8 KiB replaced by one thread, which then sleeps",
     scale<1>},
    {"scale_2", "the same work by 2 threads", scale<2>},
    {"scale_8", "the same work by 8 threads", scale<8>},
    {"scale_64", "the same work by 64 threads, 8 at a time", scale<64>},
    {"scale_1000", "the same work by 1000 threads, 8 at a time", scale<1000>},
};

}  // namespace

std::span<const Workload> scales() { return kScales; }

}  // namespace resident
