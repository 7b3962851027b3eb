// A program whose heap is known: what it holds at its end is written in the test that runs it.
//
//   known            allocates, prints its process id, exits with 0
//   known wait       prints its process id and waits for a line on stdin before it exits
//   known leave      ends by _exit, without exit handlers
//   known fork       forks a child that frees everything and exits, waits for it, exits with 0
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kSmall = 10'000;  // of 1000 bytes
constexpr int kLarge = 3;       // of 5 MiB
constexpr std::size_t kLargeBytes = 5 << 20;

void* g_objects[kSmall + kLarge];

void allocate() {
  for (int i = 0; i < kSmall; ++i) g_objects[i] = std::memset(std::malloc(1000), 1, 1000);
  for (int i = 0; i < kLarge; ++i) {
    g_objects[kSmall + i] = std::memset(std::malloc(kLargeBytes), 1, kLargeBytes);
  }
}

void fork_and_free() {
  const pid_t child = fork();
  if (child == 0) {
    for (void* p : g_objects) std::free(p);
    std::exit(0);
  }
  waitpid(child, nullptr, 0);
}

}  // namespace

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "";
  allocate();
  std::printf("%d\n", static_cast<int>(getpid()));
  std::fflush(stdout);
  if (std::strcmp(mode, "wait") == 0) std::getchar();
  if (std::strcmp(mode, "leave") == 0) _exit(5);
  if (std::strcmp(mode, "fork") == 0) fork_and_free();
  return 0;
}
