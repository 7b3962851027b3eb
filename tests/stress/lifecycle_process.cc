// Cases about a process's beginning and end, and about exec.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "lifecycle.h"

namespace lifecycle {
namespace {

// Filled by the earliest constructor of the program, before those of libstdc++'s streams.
char* g_early_text = nullptr;
void* g_early_big = nullptr;

[[gnu::constructor(101)]] void early_constructor() {
  g_early_text = strdup("taken before main");
  g_early_big = std::calloc(1, 5 << 20);
  exercise();
}

// A destructor that runs after all handlers of atexit.
[[gnu::destructor(101)]] void late_destructor() {
  exercise();
  std::free(g_early_text);
  std::free(g_early_big);
}

// A global whose constructor and destructor allocate.
struct Global {
  Global() {
    for (int i = 0; i < 1000; ++i) map[i] = std::string(static_cast<std::size_t>(i), 'x');
  }
  ~Global() {
    map[1000] = "one more";
    exercise();
  }
  std::map<int, std::string> map;
};
Global g_global;

void* g_kept_for_exit = nullptr;

void exit_handler() {
  std::free(g_kept_for_exit);
  exercise();
  // A handler that registers another one, which makes libc allocate.
  static int depth = 0;
  if (++depth < 40) {
    g_kept_for_exit = std::malloc(static_cast<std::size_t>(depth) * 1000);
    std::atexit(exit_handler);
  } else {
    g_kept_for_exit = nullptr;
  }
}

// vfork and exec of /bin/true, in a frame of its own as vfork wants it.
[[gnu::noinline]] pid_t vfork_true() {
  char* const arguments[] = {const_cast<char*>("true"), nullptr};
  const pid_t pid = vfork();
  if (pid == 0) {
    execve("/bin/true", arguments, environ);
    _exit(127);
  }
  return pid;
}

void say_ok(const char* name) {
  std::printf("lifecycle %s: ok\n", name);
  std::fflush(stdout);
}

}  // namespace

int before_main() {
  LIFECYCLE_REQUIRE(g_early_text != nullptr && std::strcmp(g_early_text, "taken before main") == 0);
  const auto* bytes = static_cast<const char*>(g_early_big);
  LIFECYCLE_REQUIRE(bytes[0] == 0 && bytes[(5 << 20) - 1] == 0);
  LIFECYCLE_REQUIRE(g_global.map.size() == 1000 && g_global.map[999].size() == 999);
  say_ok("before_main");
  return 0;
}

int at_exit() {
  g_kept_for_exit = std::malloc(1 << 20);
  for (int i = 0; i < 100; ++i) std::atexit([] { exercise(); });
  std::atexit(exit_handler);
  say_ok("at_exit");
  return 0;
}

int quick_exit_handlers() {
  std::at_quick_exit([] {
    exercise();
    say_ok("quick_exit_handlers");
  });
  std::quick_exit(0);
}

// The main thread ends; the process goes on, and ends with the last thread's call of exit.
int main_thread_leaves() {
  static pthread_t main_thread;
  main_thread = pthread_self();
  auto* from_main = new std::string(1000, 'm');
  std::thread([from_main] {
    LIFECYCLE_REQUIRE(pthread_join(main_thread, nullptr) == 0);
    LIFECYCLE_REQUIRE(*from_main == std::string(1000, 'm'));
    delete from_main;
    for (int i = 0; i < 50; ++i) exercise();
    say_ok("main_thread_leaves");
    std::exit(0);
  }).detach();
  pthread_exit(nullptr);
}

// exit() runs the handlers and destructors while other threads go on allocating.
int exit_while_running() {
  static std::atomic<int> started{0};
  for (int i = 0; i < 4; ++i) {
    std::thread([] {
      ++started;
      for (;;) {
        std::string* text = new std::string(100, 'x');
        void* p = std::malloc(200000);
        std::free(p);
        delete text;
      }
    }).detach();
  }
  while (started < 4) std::this_thread::yield();
  std::atexit([] { exercise(); });
  say_ok("exit_while_running");
  return 0;
}

int vfork_exec() {
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&over] {
      while (!over) exercise();
    });
  }
  for (int i = 0; i < 100; ++i) {
    std::string* before = new std::string(500, 'v');
    const pid_t pid = vfork_true();
    LIFECYCLE_REQUIRE(pid > 0);
    int status = 0;
    LIFECYCLE_REQUIRE(waitpid(pid, &status, 0) == pid && status == 0);
    LIFECYCLE_REQUIRE(*before == std::string(500, 'v'));
    delete before;
  }
  // system() and popen(), which use the same way.
  LIFECYCLE_REQUIRE(std::system("true") == 0);
  FILE* pipe = popen("echo through a pipe", "r");
  LIFECYCLE_REQUIRE(pipe != nullptr);
  char line[64] = "";
  LIFECYCLE_REQUIRE(std::fgets(line, sizeof(line), pipe) != nullptr);
  LIFECYCLE_REQUIRE(std::strcmp(line, "through a pipe\n") == 0 && pclose(pipe) == 0);
  over = true;
  for (std::thread& thread : threads) thread.join();
  say_ok("vfork_exec");
  return 0;
}

}  // namespace lifecycle
