// Forks while other threads allocate. Every child must be able to allocate, free and start threads.
//
//   fork_storm [--forks=N] [--seed=N] [--patience=SECONDS]
//
// Six threads allocate, check and free without a pause; two more fork. A child checks some of what
// it inherited, starts threads and allocates 3 to 60 MB in blocks of all sizes, then ends. A child
// that ends badly, or that lives longer than --patience, is reported (a hung one with what its
// threads wait for) and counted; status 0 only when there was none.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "block.h"

namespace {

using stress::Block;
using stress::Random;

constexpr unsigned kAllocatingThreads = 6;
constexpr unsigned kForkingThreads = 2;
constexpr std::size_t kMegabyte = 1 << 20;

std::atomic<bool> g_over{false};
std::atomic<std::uint64_t> g_forks_left{0};
std::atomic<std::uint64_t> g_bad_children{0};

// An allocating thread of the parent: holds up to 8 MB, in ever other blocks.
void allocate_until_over(std::uint64_t seed) {
  Random random(seed);
  std::vector<Block> blocks;
  std::size_t held = 0;
  while (!g_over.load(std::memory_order_relaxed)) {
    if (held < 8 * kMegabyte && random.below(5) < 3) {
      blocks.push_back(take_block(random, random.below(8) == 0 ? kMegabyte : 2048));
      held += blocks.back().usable;
    } else if (!blocks.empty()) {
      const std::size_t at = random.below(blocks.size());
      std::swap(blocks[at], blocks.back());
      held -= blocks.back().usable;
      free_block(blocks.back(), random);
      blocks.pop_back();
    }
  }
  for (Block& block : blocks) free_block(block, random);
}

// Allocates `bytes` in all, checks it and frees it.
void allocate_in_child(std::uint64_t seed, std::size_t bytes) {
  Random random(seed);
  std::vector<Block> blocks;
  for (std::size_t held = 0; held < bytes;) {
    blocks.push_back(take_block(random, random.below(4) == 0 ? 4 * kMegabyte : 32 << 10));
    held += blocks.back().usable;
    if (random.below(16) == 0) resize_block(blocks.back(), random, 64 << 10);
  }
  for (Block& block : blocks) free_block(block, random);
}

// A child's life. `inherited` are blocks of the thread that forked; they are freed here.
[[noreturn]] void child(std::uint64_t seed, std::vector<Block>& inherited) {
  Random random(seed);
  for (Block& block : inherited) free_block(block, random);
  const std::size_t bytes = (3 + random.below(58)) * kMegabyte;
  const std::size_t thread_count = 1 + random.below(3);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < thread_count; ++i) {
    threads.emplace_back(allocate_in_child, random.next(), bytes / (thread_count + 1));
  }
  allocate_in_child(random.next(), bytes / (thread_count + 1));
  for (std::thread& thread : threads) thread.join();
  if (random.below(8) == 0) {  // a grandchild
    const pid_t pid = fork();
    if (pid == 0) {
      allocate_in_child(seed, kMegabyte);
      _exit(0);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) _exit(4);
  }
  _exit(0);
}

// Says where each thread of a process waits, as far as the kernel tells.
void report_hung(pid_t pid) {
  std::fprintf(stderr, "fork_storm: child %d hangs:\n", static_cast<int>(pid));
  const std::string command =
      "for t in /proc/" + std::to_string(pid) +
      "/task/*; do echo \"  $t $(cat $t/wchan) $(cat $t/syscall)\"; done >&2";
  if (std::system(command.c_str()) != 0) std::fprintf(stderr, "  (no more is known)\n");
}

// Waits for a child; false when it ended badly or had to be ended.
bool await_child(pid_t pid, std::uint64_t patience_s) {
  int status = 0;
  for (std::uint64_t waited_ms = 0; waitpid(pid, &status, WNOHANG) != pid;) {
    const std::uint64_t nap_ms = waited_ms < 100 ? 1 : 10;
    const timespec nap{0, static_cast<long>(nap_ms * 1000000)};
    nanosleep(&nap, nullptr);
    waited_ms += nap_ms;
    if (waited_ms > patience_s * 1000) {
      report_hung(pid);
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      return false;
    }
  }
  if (status == 0) return true;
  std::fprintf(stderr, "fork_storm: child %d ended with wait status 0x%x\n", static_cast<int>(pid),
               static_cast<unsigned>(status));
  return false;
}

bool take_fork() {
  std::uint64_t left = g_forks_left.load();
  while (left != 0 && !g_forks_left.compare_exchange_weak(left, left - 1)) {
  }
  return left != 0;
}

void fork_until_done(std::uint64_t seed, std::uint64_t patience_s) {
  Random random(seed);
  while (take_fork()) {
    std::vector<Block> mine;
    for (int i = 0; i < 20; ++i) mine.push_back(take_block(random, 4096));
    const std::uint64_t child_seed = random.next();
    const pid_t pid = fork();
    if (pid == 0) child(child_seed, mine);
    if (pid < 0) stress::fail("fork_storm: fork: errno %d", errno);
    if (!await_child(pid, patience_s)) g_bad_children.fetch_add(1);
    for (Block& block : mine) free_block(block, random);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t forks = 300;
  std::uint64_t seed = std::random_device{}();
  std::uint64_t patience_s = 300;
  for (int i = 1; i < argc; ++i) {
    unsigned long long value = 0;
    if (std::sscanf(argv[i], "--forks=%llu", &value) == 1) {
      forks = value;
    } else if (std::sscanf(argv[i], "--seed=%llu", &value) == 1) {
      seed = value;
    } else if (std::sscanf(argv[i], "--patience=%llu", &value) == 1) {
      patience_s = value;
    } else {
      std::fprintf(stderr, "fork_storm: what is '%s'?\n", argv[i]);
      return 2;
    }
  }
  std::printf("seed %llu, %llu forks\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(forks));
  std::fflush(stdout);
  g_forks_left = forks;
  std::vector<std::thread> allocating;
  for (unsigned i = 0; i < kAllocatingThreads; ++i) {
    allocating.emplace_back(allocate_until_over, seed * 100 + i);
  }
  std::vector<std::thread> forking;
  for (unsigned i = 0; i < kForkingThreads; ++i) {
    forking.emplace_back(fork_until_done, seed * 100 + 50 + i, patience_s);
  }
  for (std::thread& thread : forking) thread.join();
  g_over = true;
  for (std::thread& thread : allocating) thread.join();
  std::printf("%llu forks, %llu bad children\n", static_cast<unsigned long long>(forks),
              static_cast<unsigned long long>(g_bad_children.load()));
  return g_bad_children.load() == 0 ? 0 : 1;
}
