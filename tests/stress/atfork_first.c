// A program whose fork handlers are registered before its first allocation, and allocate. In C,
// since the C++ runtime allocates before main.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "atfork_handler.h"

int main(void) {
  if (pthread_atfork(handler, handler, handler) != 0) return 1;
  for (int i = 0; i < 5; ++i) {
    alarm(60);  // a deadlock ends here
    const pid_t child = fork();
    if (child < 0) return 2;
    if (child == 0) _exit(0);
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) return 3;
  }
  puts("atfork_first: ok");
  return 0;
}
