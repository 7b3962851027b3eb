// A library whose constructor runs before ream's, registers fork handlers and allocates in them:
// they run while ream holds its locks for the fork. The one that prepares forks itself.
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "atfork_handler.h"

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
