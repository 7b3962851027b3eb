// What every workload shares: its entry in the list, random numbers, stamped blocks, threads.
//
// A workload does the same operations under every allocator: all choices come from seeded
// generators, none from addresses, time or the order in which threads run. It ends with a checksum
// over what it wrote and read back, so two runs can be compared.
//
// Thread safety: nothing here is shared between threads except by the caller.

#ifndef REAM_BENCH_WORKLOADS_SUPPORT_H_
#define REAM_BENCH_WORKLOADS_SUPPORT_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <span>
#include <vector>

namespace bench {

inline constexpr std::size_t kKiB = std::size_t{1} << 10;
inline constexpr std::size_t kMiB = std::size_t{1} << 20;

// Granule in which the kernel backs memory: touching one byte in each makes all of it resident.
inline constexpr std::size_t kOsPageBytes = 4096;

// Threads of a multi-threaded workload. Fixed, not taken from the machine: a checksum must not
// depend on where it was made.
inline constexpr unsigned kThreads = 4;

// What a workload finds out besides its time and memory, such as how long the slowest calls took.
struct Figure {
  const char* name;
  const char* unit;
  double value;
};

struct Result {
  std::uint64_t checksum = 0;
  std::uint64_t ops = 0;  // allocations plus frees, or what `about` names
  std::vector<Figure> figures{};
};

struct Workload {
  const char* name;
  const char* about;  // one line, printed by --list
  Result (*run)(double scale);
};

// `count` at `scale`, at least one.
inline std::uint64_t scaled(std::uint64_t count, double scale) {
  const auto n = static_cast<std::uint64_t>(static_cast<double>(count) * scale);
  return n == 0 ? 1 : n;
}

// Prints `what` and ends the process with status 1.
[[noreturn, gnu::cold]] void die(const char* what);

// Keeps the compiler from seeing what becomes of `p`, so that no allocation is optimised away.
inline void escape(void* p) { asm volatile("" : : "g"(p) : "memory"); }

// SplitMix64: one multiply chain, good enough to scatter sizes and cheap beside an allocation.
class Rng {
 public:
  explicit Rng(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // Uniform in [0, n). REQUIRES: 0 < n < 2^32.
  std::uint64_t below(std::uint64_t n) { return ((next() >> 32) * n) >> 32; }

  // Uniform in [lo, hi).
  std::size_t between(std::size_t lo, std::size_t hi) { return lo + below(hi - lo); }

  // In [lo, hi), each power of two as likely as the next: small sizes are common, as in programs.
  // REQUIRES: hi / lo is a power of two, at least 2.
  std::size_t log_between(std::size_t lo, std::size_t hi) {
    const auto doublings = static_cast<std::uint64_t>(__builtin_ctzll(hi / lo));
    const std::size_t base = lo << below(doublings);
    return between(base, base * 2);
  }

 private:
  std::uint64_t state_;
};

// malloc that ends the process when memory runs out: a workload has no use for a null.
inline void* must_malloc(std::size_t bytes) {
  void* p = std::malloc(bytes);
  if (p == nullptr) [[unlikely]] {
    die("out of memory");
  }
  return p;
}

// A block that knows what was written to its first and last word. drop_block() ends the process if
// either has changed, which catches an allocator that hands the same bytes out twice.
struct Block {
  unsigned char* data = nullptr;
  std::uint32_t bytes = 0;
  std::uint32_t tag = 0;
};

// Allocates and stamps. REQUIRES: bytes >= 16.
Block make_block(std::size_t bytes, std::uint32_t tag);

// The halves of the two, for a workload that times malloc and free alone: stamps what the caller
// has allocated; checks the stamp, and returns what drop_block() would.
Block stamp_block(void* data, std::size_t bytes, std::uint32_t tag);
std::uint64_t check_block(const Block& block);

// Checks the stamp, frees, and returns the tag mixed with the size, to be added to a checksum.
// Adding commutes, so the sum does not depend on which thread frees first. An empty block counts
// zero.
std::uint64_t drop_block(Block& block);

// Writes one byte into each OS page of [p, p + bytes).
void touch_pages(void* p, std::size_t bytes);

// Runs body(0) .. body(count - 1), each on a thread of its own, and joins them all.
void run_threads(unsigned count, const std::function<void(unsigned)>& body);

// The families, one file each. main.cc lists them in this order.
std::span<const Workload> pairs();
std::span<const Workload> replaces();
std::span<const Workload> growths();
std::span<const Workload> callocs();
std::span<const Workload> structures();
std::span<const Workload> bignums();
std::span<const Workload> batches();
std::span<const Workload> fragments();
std::span<const Workload> handoffs();
std::span<const Workload> servers();
std::span<const Workload> cache_lines();
std::span<const Workload> lifetimes();
std::span<const Workload> threads();
std::span<const Workload> tails();

// One pair of malloc and free of `bytes`, `count` times; the loop that the micro mode times. With
// bytes 0 the same loop calls two functions that do nothing, which is the cost to subtract.
Result run_pairs(std::size_t bytes, std::uint64_t count);

}  // namespace bench

#endif  // REAM_BENCH_WORKLOADS_SUPPORT_H_
