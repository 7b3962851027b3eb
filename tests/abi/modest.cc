// modest MODE: a small program for the tests of the environment and of limits on memory.
//
//   modest run            allocates some megabytes from two threads, prints "ok"
//   modest exhaust        allocates until malloc fails, checks errno, frees all, allocates again
//   modest exhaust_small  the same with blocks of 1000 bytes
//   modest data_limit     lowers RLIMIT_DATA while it runs, then as exhaust
//   modest new            operator new until bad_alloc, then again after freeing
//   modest main_ends      ends the main thread; prints "ok" at exit, after the last of the others
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "abi/hide.h"

namespace {

using abi_test::hide;

constexpr std::size_t kMegabyte = 1 << 20;
// Where no limit stops it, an exhausting run must end by itself and fail.
constexpr std::size_t kGiveUpBytes = std::size_t{4} << 30;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "modest: %s (errno %d)\n", what, errno);
  std::exit(1);
}

int finish() {
  std::puts("ok");
  return 0;
}

void work() {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 2000; ++i) texts.emplace_back(i, 'x');
  void* big = hide(std::calloc(1, 3 * kMegabyte));
  if (big == nullptr) fail("no memory for 3 MB");
  std::free(big);
}

int run() {
  std::thread other(work);
  work();
  other.join();
  return finish();
}

// A list of blocks, linked through their first word: needs no memory of its own.
struct Taken {
  void** head = nullptr;
  std::size_t bytes = 0;

  bool take(std::size_t n) {
    errno = 0;
    auto* p = static_cast<void**>(hide(std::malloc(n)));
    if (p == nullptr) return false;
    *p = head;
    head = p;
    bytes += n;
    return true;
  }

  void free_all() {
    while (head != nullptr) {
      void** next = static_cast<void**>(*head);
      std::free(head);
      head = next;
    }
    bytes = 0;
  }
};

int exhaust(std::size_t block_bytes) {
  std::size_t first_total = 0;
  for (int round = 0; round < 3; ++round) {
    Taken taken;
    while (taken.take(block_bytes)) {
      if (taken.bytes > kGiveUpBytes) fail("no limit is in force");
    }
    if (errno != ENOMEM) fail("malloc failed with another errno than ENOMEM");
    if (taken.bytes < 4 * kMegabyte) fail("too little could be allocated");
    // All other ways to ask fail as well, and change nothing.
    void* p = &taken;
    if (posix_memalign(&p, 4096, 64 * kMegabyte) != ENOMEM || p != &taken) fail("posix_memalign");
    errno = 0;
    if (hide(std::calloc(64, kMegabyte)) != nullptr || errno != ENOMEM) fail("calloc");
    errno = 0;
    if (hide(std::realloc(taken.head, 512 * kMegabyte)) != nullptr || errno != ENOMEM) {
      fail("realloc");
    }
    if (round == 0) first_total = taken.bytes;
    // What was freed can be had again: at least nine tenths of it.
    if (taken.bytes < first_total - first_total / 10) fail("memory is lost");
    taken.free_all();
  }
  // And in one piece of a quarter of it.
  void* piece = hide(std::malloc(first_total / 4));
  if (piece == nullptr) fail("no large block after all was freed");
  std::free(piece);
  // No thread here: its stack would need address space, which an allocator may keep.
  work();
  return finish();
}

int exhaust_new() {
  for (int round = 0; round < 2; ++round) {
    void** head = nullptr;
    std::size_t bytes = 0;
    try {
      while (bytes < kGiveUpBytes) {
        auto** p = static_cast<void**>(hide(::operator new(100000)));
        *p = head;
        head = p;
        bytes += 100000;
      }
      fail("no limit is in force");
    } catch (const std::bad_alloc&) {
    }
    while (head != nullptr) {
      void** next = static_cast<void**>(*head);
      ::operator delete(head);
      head = next;
    }
  }
  work();
  return finish();
}

// With a heap that is large enough for a worker. The last thread gives the main thread time to end.
int main_ends() {
  std::atexit([] { std::puts("ok"); });
  std::thread([] {
    std::vector<std::vector<char>> blocks;
    for (int i = 0; i < 64; ++i) blocks.emplace_back(kMegabyte, 'x');
    ::usleep(200'000);
  }).detach();
  pthread_exit(nullptr);
}

int data_limit() {
  work();
  const rlimit limit{300 * kMegabyte, 300 * kMegabyte};
  if (setrlimit(RLIMIT_DATA, &limit) != 0) fail("setrlimit");
  return exhaust(kMegabyte / 2);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc == 2 ? argv[1] : "";
  if (mode == "run") return run();
  if (mode == "exhaust") return exhaust(kMegabyte);
  if (mode == "exhaust_small") return exhaust(1000);
  if (mode == "data_limit") return data_limit();
  if (mode == "main_ends") return main_ends();
  if (mode == "new") return exhaust_new();
  return 2;
}
