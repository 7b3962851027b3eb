// Batches: many blocks of stepped sizes allocated together and freed in an order of their own.
//
// After the classic small-block tests: within a round sizes climb and counts fall; half of a batch
// is freed in the order it came, half backwards, and a quarter lives on into the next round. In the
// threaded form that quarter is freed by the neighbouring thread.

#include <mutex>
#include <vector>

#include "support.h"

namespace bench {
namespace {

constexpr std::size_t kMinBytes = 16;
constexpr std::size_t kMaxBytes = 1000;

// Allocates one round's blocks into `batch`: about 2000, the small sizes most often.
void fill_batch(std::vector<Block>& batch, std::uint32_t round) {
  batch.clear();
  for (std::size_t bytes = kMinBytes; bytes <= kMaxBytes; bytes += bytes / 8 + 1) {
    const std::size_t count = kMaxBytes * 4 / bytes + 1;
    for (std::size_t i = 0; i < count; ++i) {
      batch.push_back(make_block(bytes, round + static_cast<std::uint32_t>(i)));
    }
  }
}

// Frees three quarters of `batch`: the even ones forwards, then every other odd one backwards. The
// rest is appended to `kept`.
std::uint64_t drop_most(std::vector<Block>& batch, std::vector<Block>& kept) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < batch.size(); i += 2) {
    sum += drop_block(batch[i]);
  }
  for (std::size_t i = batch.size(); i-- > 0;) {
    if (i % 4 == 1) {
      sum += drop_block(batch[i]);
    } else if (i % 4 == 3) {
      kept.push_back(batch[i]);
    }
  }
  return sum;
}

std::uint64_t drop_all(std::vector<Block>& blocks) {
  std::uint64_t sum = 0;
  for (Block& block : blocks) {
    sum += drop_block(block);
  }
  blocks.clear();
  return sum;
}

Result sh6_like(double scale) {
  Result result;
  std::vector<Block> batch;
  std::vector<Block> kept;
  std::vector<Block> older;
  const std::uint64_t rounds = scaled(20'000, scale);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    fill_batch(batch, static_cast<std::uint32_t>(round));
    result.ops += 2 * batch.size();
    result.checksum += drop_all(older);
    older.swap(kept);
    result.checksum += drop_most(batch, kept);
  }
  result.checksum += drop_all(older) + drop_all(kept);
  return result;
}

struct alignas(64) Mailbox {
  std::mutex mutex;
  std::vector<Block> blocks;  // guarded by mutex
  std::uint64_t sum = 0;      // of the thread that empties the box
  std::uint64_t ops = 0;      // of the same thread
};

Result sh8_like(double scale) {
  std::vector<Mailbox> boxes(kThreads);
  const std::uint64_t rounds = scaled(5000, scale);
  run_threads(kThreads, [&](unsigned self) {
    Mailbox& mine = boxes[self];
    Mailbox& neighbour = boxes[(self + 1) % kThreads];
    std::vector<Block> batch;
    std::vector<Block> sent;
    std::vector<Block> received;
    for (std::uint64_t round = 0; round < rounds; ++round) {
      fill_batch(batch, static_cast<std::uint32_t>(round));
      mine.ops += 2 * batch.size();
      mine.sum += drop_most(batch, sent);
      {
        const std::lock_guard lock(neighbour.mutex);
        neighbour.blocks.insert(neighbour.blocks.end(), sent.begin(), sent.end());
      }
      sent.clear();
      {
        const std::lock_guard lock(mine.mutex);
        received.swap(mine.blocks);
      }
      mine.sum += drop_all(received);
    }
  });
  Result result;
  for (Mailbox& box : boxes) {
    result.checksum += box.sum + drop_all(box.blocks);
    result.ops += box.ops;
  }
  return result;
}

constexpr Workload kBatches[] = {
    {"sh6_like", "batches of 16 to 1000 B freed forwards, backwards and late", sh6_like},
    {"sh8_like", "the same in 4 threads, the late ones freed by the neighbour", sh8_like},
};

}  // namespace

std::span<const Workload> batches() { return kBatches; }

}  // namespace bench
