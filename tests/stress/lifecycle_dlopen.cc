// The library opened late, by a program that runs on libc's malloc, has threads and much TLS in
// use. Nothing may mix: what comes from the library goes back to it, what comes from libc to libc.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "block.h"
#include "lifecycle.h"

namespace lifecycle {
namespace {

struct Opened {
  void* (*malloc)(std::size_t);
  void (*free)(void*);
  void* (*calloc)(std::size_t, std::size_t);
  void* (*realloc)(void*, std::size_t);
  int (*posix_memalign)(void**, std::size_t, std::size_t);
  std::size_t (*malloc_usable_size)(void*);
  int (*malloc_trim)(std::size_t);
};

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  LIFECYCLE_REQUIRE(function != nullptr);
}

Opened open_library(const char* path) {
  void* library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) stress::fail("lifecycle: dlopen: %s", dlerror());
  Opened o{};
  find(library, "malloc", o.malloc);
  find(library, "free", o.free);
  find(library, "calloc", o.calloc);
  find(library, "realloc", o.realloc);
  find(library, "posix_memalign", o.posix_memalign);
  find(library, "malloc_usable_size", o.malloc_usable_size);
  find(library, "malloc_trim", o.malloc_trim);
  LIFECYCLE_REQUIRE(reinterpret_cast<void*>(o.malloc) != dlsym(RTLD_DEFAULT, "malloc"));
  return o;
}

// Both allocators at once: each block holds its own address.
void use(const Opened& o, std::uint64_t seed) {
  stress::Random random(seed);
  std::vector<std::uintptr_t*> theirs;
  std::vector<std::uintptr_t*> libcs;
  for (int i = 0; i < 3000; ++i) {
    const std::size_t bytes = 8 + random.size(random.below(50) == 0 ? 1 << 20 : 2000);
    void* p = nullptr;
    switch (random.below(4)) {
      case 0:
        p = o.malloc(bytes);
        break;
      case 1:
        p = o.calloc(1, bytes);
        LIFECYCLE_REQUIRE(p != nullptr && *static_cast<std::uintptr_t*>(p) == 0);
        break;
      case 2:
        LIFECYCLE_REQUIRE(o.posix_memalign(&p, 64, bytes) == 0);
        LIFECYCLE_REQUIRE(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
        break;
      default:
        p = o.realloc(nullptr, bytes);
        break;
    }
    LIFECYCLE_REQUIRE(p != nullptr && o.malloc_usable_size(p) >= bytes);
    theirs.push_back(static_cast<std::uintptr_t*>(p));
    *theirs.back() = reinterpret_cast<std::uintptr_t>(p);
    libcs.push_back(static_cast<std::uintptr_t*>(std::malloc(bytes)));
    *libcs.back() = reinterpret_cast<std::uintptr_t>(libcs.back());
    if (random.below(3) == 0) {
      const std::size_t at = random.below(theirs.size());
      auto* grown = static_cast<std::uintptr_t*>(o.realloc(theirs[at], 4000));
      LIFECYCLE_REQUIRE(grown != nullptr && *grown == reinterpret_cast<std::uintptr_t>(theirs[at]));
      *grown = reinterpret_cast<std::uintptr_t>(grown);
      theirs[at] = grown;
    }
  }
  for (std::uintptr_t* p : theirs) {
    LIFECYCLE_REQUIRE(*p == reinterpret_cast<std::uintptr_t>(p));
    o.free(p);
  }
  for (std::uintptr_t* p : libcs) {
    LIFECYCLE_REQUIRE(*p == reinterpret_cast<std::uintptr_t>(p));
    std::free(p);
  }
}

}  // namespace

int dlopen_late(const char* path) {
  // A thread that was there before the library.
  std::atomic<const Opened*> opened{nullptr};
  std::thread early([&opened] {
    exercise();
    while (opened == nullptr) std::this_thread::yield();
    use(*opened, 1);
  });
  const Opened o = open_library(path);
  opened = &o;
  use(o, 2);
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 4; ++i) {
    threads.emplace_back([&o, i] {
      for (int round = 0; round < 5; ++round) use(o, 10 * i);
    });
  }
  // A fork in the middle: the child uses both too.
  const pid_t pid = fork();
  if (pid == 0) {
    use(o, 3);
    std::thread(use, std::cref(o), 4).join();
    _exit(0);
  }
  int status = 0;
  LIFECYCLE_REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
  early.join();
  for (std::thread& thread : threads) thread.join();
  o.malloc_trim(0);
  exercise();
  std::printf("lifecycle dlopen_late: ok\n");
  return 0;
}

}  // namespace lifecycle
