/* A program that idles with a cache, under REAM_MEMORY_LIMIT=auto, and hears of memory pressure
   while ream's threads sleep. It says on stdout how far it got, a word a line:

   listening   the worker sleeps, and another thread of ream waits for pressure
   idle        neither ran within two seconds, and none of ream's files is among the program's
   heard       a callback was called, on the worker
   ok

   Status 77 where nobody listens: the kernel has no pressure stall information, or does not let us
   wait for it.

   pressure wait     as above
   pressure closed   closes all its files but stdin, stdout and stderr before
   pressure child    the same in a child of fork, whose parent listened, too
   pressure ended    while it listens, ends its main thread and then the others: the process ends,
                     with "ended" */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <ream/ream.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define BLOCKS 24

static void* g_blocks[BLOCKS];
static atomic_size_t g_wanted;
static atomic_int g_on_worker;

static void fail(const char* what) {
  fprintf(stderr, "%s\n", what);
  _exit(1);
}

static void say(const char* word) {
  puts(word);
  fflush(stdout);
}

/* Reads a file of /proc without a call of malloc, since the worker hears of those. */
static const char* read_text(const char* path) {
  static char text[4096];
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n < 0 ? 0 : n] = '\0';
  return text;
}

static int is_named(const char* task, const char* name) {
  char path[300];
  snprintf(path, sizeof path, "/proc/self/task/%s/comm", task);
  return strncmp(read_text(path), name, strlen(name)) == 0;
}

static char g_threads[2][300]; /* where ream's are, below /proc */

/* Returns how many threads of ream there are. */
static unsigned find_threads(void) {
  struct dirent* entry;
  unsigned n = 0;
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == NULL) _exit(77);
  while ((entry = readdir(tasks)) != NULL) {
    if (entry->d_name[0] == '.' || !is_named(entry->d_name, "ream-")) continue;
    if (n < 2)
      snprintf(g_threads[n], sizeof g_threads[n], "/proc/self/task/%s/status", entry->d_name);
    ++n;
  }
  closedir(tasks);
  return n;
}

/* How often both gave up the processor so far. */
static unsigned long switches(void) {
  static const char kName[] = "voluntary_ctxt_switches:"; /* also the end of the other's name */
  unsigned long sum = 0;
  for (unsigned i = 0; i < 2; ++i) {
    const char* at = read_text(g_threads[i]);
    while ((at = strstr(at, kName)) != NULL) sum += strtoul(at += strlen(kName), NULL, 10);
  }
  return sum;
}

static unsigned open_files(void) {
  unsigned n = 0;
  DIR* files = opendir("/proc/self/fd");
  while (files != NULL && readdir(files) != NULL) ++n;
  if (files != NULL) closedir(files);
  return n;
}

static void on_pressure(ream_pressure level, size_t wanted, void* arg) {
  char task[32];
  (void)arg;
  if (level != REAM_PRESSURE_SOFT) return;
  snprintf(task, sizeof task, "%d", (int)gettid());
  atomic_store(&g_on_worker, is_named(task, "ream-worker"));
  for (unsigned i = 0; i < BLOCKS / 2; ++i) {
    free(g_blocks[i]);
    g_blocks[i] = NULL;
  }
  atomic_store(&g_wanted, wanted);
}

static void fill(void) {
  for (unsigned i = 0; i < BLOCKS; ++i) {
    g_blocks[i] = malloc(MIB);
    if (g_blocks[i] == NULL) fail("no memory");
    memset(g_blocks[i], 1, MIB);
  }
}

/* Allocates nothing meanwhile, so that the worker finds nothing to do. The directory has two
   entries of its own, and the main thread's. */
static void await_listener(void) {
  struct stat tasks;
  const unsigned most = getenv("REAM_MEMORY_LIMIT") != NULL ? 300 : 100;
  for (unsigned i = 0; i < most; ++i) {
    usleep(100000);
    if (stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == 2 + 1 + 2) break;
  }
  if (find_threads() != 2) _exit(77);
  say("listening");
}

static void idle_until_heard(void) {
  const unsigned files = open_files();
  if (ream_on_pressure(on_pressure, NULL) != 0) fail("on_pressure");
  fill();
  await_listener();
  int idle = 0;
  for (unsigned i = 0; i < 15 && !idle; ++i) {
    const unsigned long before = switches();
    sleep(2);
    idle = switches() == before;
  }
  if (!idle) fail("ream's threads do not sleep");
  if (open_files() != files) fail("a file among the program's");
  if (atomic_load(&g_wanted) != 0) _exit(77); /* pressure before we made any */
  say("idle");
  for (unsigned i = 0; i < 600 && atomic_load(&g_wanted) == 0; ++i) usleep(100000);
  if (atomic_load(&g_wanted) == 0) fail("not heard");
  if (!atomic_load(&g_on_worker)) fail("heard elsewhere than on the worker");
  if (atomic_load(&g_wanted) < MIB) fail("asked for next to nothing");
  say("heard");
}

static void* end_later(void* arg) {
  (void)arg;
  sleep(1);
  return NULL;
}

static void say_ended(void) { say("ended"); }

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "ended") == 0) {
    pthread_t thread;
    fill();
    await_listener();
    atexit(say_ended);
    if (pthread_create(&thread, NULL, end_later, NULL) != 0) fail("thread");
    pthread_detach(thread);
    pthread_exit(NULL);
  }
  if (strcmp(what, "child") == 0) {
    fill();
    await_listener();
    const pid_t child = fork();
    if (child > 0) {
      int status = 0;
      waitpid(child, &status, 0);
      return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
    if (find_threads() != 0) fail("threads in the child");
    for (unsigned i = 0; i < BLOCKS; ++i) free(g_blocks[i]);
  }
  if (strcmp(what, "closed") == 0) closefrom(3);
  idle_until_heard();
  say("ok");
  return 0;
}
