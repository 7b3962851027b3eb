// Cases about threads: their birth, their death, and what interrupts them.
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "lifecycle.h"

namespace lifecycle {
namespace {

pthread_key_t g_key;
std::atomic<int> g_key_destructors{0};
std::atomic<int> g_thread_local_destructors{0};

// Runs in every round of destructors that POSIX allows: it sets the key again three times.
void key_destructor(void* value) {
  auto* rounds = static_cast<int*>(value);
  exercise();
  ++g_key_destructors;
  const int left = *rounds - 1;
  std::free(rounds);
  if (left == 0) return;
  auto* next = static_cast<int*>(std::malloc(sizeof(int)));
  *next = left;
  pthread_setspecific(g_key, next);
}

struct AllocatesAtDeath {
  std::vector<std::string> texts{"one"};
  ~AllocatesAtDeath() {
    for (int i = 0; i < 100; ++i) texts.emplace_back(static_cast<std::size_t>(i), 't');
    exercise();
    ++g_thread_local_destructors;
  }
};

std::size_t resident_bytes() {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen("/proc/self/statm", "r"), std::fclose);
  unsigned long total = 0;
  unsigned long resident = 0;
  LIFECYCLE_REQUIRE(file && std::fscanf(file.get(), "%lu %lu", &total, &resident) == 2);
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

void ok(const char* name) {
  std::printf("lifecycle %s: ok\n", name);
  std::fflush(stdout);
}

std::atomic<unsigned long> g_signals{0};

void count_signal(int) { g_signals.fetch_add(1, std::memory_order_relaxed); }

void* start_exercise(void*) {
  exercise();
  return nullptr;
}

// Allocates until it is cancelled; its cleanup handler frees what it holds.
void* wait_for_cancel(void* started) {
  void* held = std::malloc(12345);
  pthread_cleanup_push(std::free, held);
  static_cast<std::atomic<int>*>(started)->fetch_add(1);
  for (;;) {
    std::free(std::malloc(100));
    pthread_testcancel();
  }
  pthread_cleanup_pop(0);
  return nullptr;
}

}  // namespace

int tls_destructors() {
  constexpr int kThreads = 200;
  constexpr int kRounds = 3;
  LIFECYCLE_REQUIRE(pthread_key_create(&g_key, key_destructor) == 0);
  for (int i = 0; i < kThreads; i += 4) {
    std::vector<std::thread> threads;
    for (int j = 0; j < 4; ++j) {
      threads.emplace_back([] {
        auto* rounds = static_cast<int*>(std::malloc(sizeof(int)));
        *rounds = kRounds;
        pthread_setspecific(g_key, rounds);
        thread_local AllocatesAtDeath object;
        object.texts.emplace_back("two");
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  LIFECYCLE_REQUIRE(g_key_destructors == kThreads * kRounds);
  LIFECYCLE_REQUIRE(g_thread_local_destructors == kThreads);
  ok("tls_destructors");
  return 0;
}

// Threads die with blocks alive and with blocks cached; neither may be lost. 4000 threads cache and
// pass on 100 MB each hundred of them, so a loss of one part in ten would show as 400 MB.
int blocks_outlive_threads() {
  std::size_t after_first_hundred = 0;
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 100; ++i) {
      std::vector<std::unique_ptr<char[]>> blocks;
      std::thread([&blocks] {
        for (std::size_t n = 0; n < 1000; ++n) {
          blocks.push_back(std::make_unique<char[]>(500 + n));
          auto dropped = std::make_unique<char[]>(300 + n);
          dropped[0] = blocks.back()[0] = 1;
        }
      }).join();
      for (const auto& block : blocks) LIFECYCLE_REQUIRE(block[0] == 1);
      // The thread that took them is gone: this one frees half, another thread the rest.
      blocks.resize(500);
      std::thread([&blocks] { blocks.clear(); }).join();
    }
    if (round == 0) after_first_hundred = resident_bytes();
  }
  LIFECYCLE_REQUIRE(resident_bytes() < after_first_hundred + (64 << 20));
  ok("blocks_outlive_threads");
  return 0;
}

int thousand_threads() {
  constexpr std::size_t kThreads = 1000;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  static std::barrier<> all_alive(kThreads);
  static std::vector<std::string> texts(kThreads);
  std::vector<pthread_t> threads(kThreads);
  for (std::size_t i = 0; i < kThreads; ++i) {
    const int result = pthread_create(
        &threads[i], &attributes,
        [](void* argument) -> void* {
          const auto mine = reinterpret_cast<std::size_t>(argument);
          texts[mine] = std::string(1000 + mine, 'a');
          exercise();
          all_alive.arrive_and_wait();
          // Each looks at its neighbour's block, then replaces it: a free by another thread.
          const std::size_t other = (mine + 1) % kThreads;
          LIFECYCLE_REQUIRE(texts[other] == std::string(1000 + other, 'a'));
          all_alive.arrive_and_wait();
          texts[other] = std::string();
          texts[other].shrink_to_fit();
          exercise();
          return nullptr;
        },
        reinterpret_cast<void*>(i));
    LIFECYCLE_REQUIRE(result == 0);
  }
  for (const pthread_t thread : threads) LIFECYCLE_REQUIRE(pthread_join(thread, nullptr) == 0);
  pthread_attr_destroy(&attributes);
  ok("thousand_threads");
  return 0;
}

int cancel() {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> started{0};
    pthread_t threads[4];
    for (pthread_t& thread : threads) {
      LIFECYCLE_REQUIRE(pthread_create(&thread, nullptr, wait_for_cancel, &started) == 0);
    }
    while (started < 4) std::this_thread::yield();
    for (const pthread_t thread : threads) {
      void* result = nullptr;
      LIFECYCLE_REQUIRE(pthread_cancel(thread) == 0);
      LIFECYCLE_REQUIRE(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    }
  }
  exercise();
  ok("cancel");
  return 0;
}

// A timer's signal interrupts malloc at any instruction; its handler does not allocate.
int signals() {
  struct sigaction action{};
  action.sa_handler = count_signal;
  action.sa_flags = SA_RESTART;
  LIFECYCLE_REQUIRE(sigaction(SIGPROF, &action, nullptr) == 0);
  const itimerval every{{0, 1000}, {0, 1000}};
  LIFECYCLE_REQUIRE(setitimer(ITIMER_PROF, &every, nullptr) == 0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([] {
      while (g_signals < 300) exercise();
    });
  }
  for (std::thread& thread : threads) thread.join();
  const itimerval never{};
  LIFECYCLE_REQUIRE(setitimer(ITIMER_PROF, &never, nullptr) == 0);
  ok("signals");
  return 0;
}

// The smallest stack that POSIX knows, where a deep slow path would overflow, plus what `exercise`
// itself takes.
int small_stacks() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  LIFECYCLE_REQUIRE(pthread_attr_setstacksize(
                        &attributes, static_cast<std::size_t>(PTHREAD_STACK_MIN) + 8192) == 0);
  for (int i = 0; i < 100; ++i) {
    pthread_t thread;
    LIFECYCLE_REQUIRE(pthread_create(&thread, &attributes, start_exercise, nullptr) == 0);
    LIFECYCLE_REQUIRE(pthread_join(thread, nullptr) == 0);
  }
  pthread_attr_destroy(&attributes);
  ok("small_stacks");
  return 0;
}

}  // namespace lifecycle
