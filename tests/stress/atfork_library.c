// A library whose constructor runs before ream's, registers fork handlers and allocates in them:
// they run while ream holds its locks for the fork. The one that prepares forks itself.
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void* volatile g_block;

static void handler(void) {
  for (size_t bytes = 16; bytes <= 1 << 20; bytes *= 2) {
    for (int i = 0; i < 200; ++i) {
      g_block = malloc(bytes);
      if (g_block == NULL) abort();
      free(g_block);
    }
    g_block = malloc(bytes);  // kept, so that slow paths run
  }
}

static __thread int g_depth;

static void prepare(void) {
  handler();
  if (g_depth == 1) return;
  g_depth = 1;
  const pid_t child = fork();
  if (child < 0) abort();
  if (child == 0) {
    handler();
    _exit(0);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) abort();
  g_depth = 0;
  handler();
}

__attribute__((constructor)) static void register_handlers(void) {
  if (pthread_atfork(prepare, handler, handler) != 0) abort();
}
