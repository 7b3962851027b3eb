/* The huge page mode, in C against <ream/ream.h>. The first argument says what is looked at; `ok`
   on stdout and status 0 mean that all was as it should be.

   environment MODE   the mode that the environment gave, as a number
   modes              each can be set and is read back, before the first allocation and later; what
                      is no mode changes nothing
   advice             what the kernel has on record for the heap follows the mode; status 77 where
                      the system has no transparent huge pages, or makes none on advice
   fork               the child has its parent's mode and changes its own
   pool               with a pool of 64 MiB: the heap is on it, contents are what they should be
                      while objects come, go and move, and it goes back when all is free
   pool_short         the same work where the pool has little, or nothing
   pool_fork          with a pool that is large enough for both, a child has memory of its own */
#include <errno.h>
#include <ream/ream.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static void expect(int good, const char* what) {
  if (good) return;
  fprintf(stderr, "%s: mode %d\n", what, (int)ream_get_huge_pages());
  _exit(1);
}

static void set(ream_huge_pages mode) {
  errno = 77;
  expect(ream_set_huge_pages(mode) == 0, "set");
  expect(ream_get_huge_pages() == mode, "get");
  expect(errno == 77, "errno");
}

static void modes(void) {
  static const ream_huge_pages kModes[] = {REAM_HUGE_PAGES_ALWAYS, REAM_HUGE_PAGES_NEVER,
                                           REAM_HUGE_PAGES_EXPLICIT, REAM_HUGE_PAGES_ADAPTIVE};
  void* blocks[64];
  expect(ream_get_huge_pages() == REAM_HUGE_PAGES_ADAPTIVE, "at first");
  for (unsigned round = 0; round < 12; ++round) {
    const ream_huge_pages mode = kModes[round % 4];
    set(mode);
    for (int bad = -3; bad < 100; ++bad) {
      if (bad >= REAM_HUGE_PAGES_ADAPTIVE && bad <= REAM_HUGE_PAGES_EXPLICIT) continue;
      expect(ream_set_huge_pages((ream_huge_pages)bad) == EINVAL, "what is no mode");
      expect(ream_get_huge_pages() == mode, "changed by what was refused");
    }
    for (unsigned i = 0; i < 64; ++i) {
      blocks[i] = malloc(MIB / 2);
      expect(blocks[i] != NULL, "no memory");
      memset(blocks[i], (int)i, MIB / 2);
    }
    for (unsigned i = 0; i < 64; ++i) {
      expect(((unsigned char*)blocks[i])[MIB / 4] == i, "contents");
      free(blocks[i]);
    }
    ream_purge();
  }
}

/* Whether the kernel's record of the mapping that holds `address` has this flag. */
static int has_flag(const void* address, const char* flag) {
  static char line[4096];
  FILE* maps = fopen("/proc/self/smaps", "r");
  int inside = 0, found = 0;
  if (maps == NULL) _exit(77);
  while (fgets(line, sizeof line, maps) != NULL) {
    unsigned long begin, end;
    if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
      inside = (uintptr_t)address >= begin && (uintptr_t)address < end;
    else if (inside && strncmp(line, "VmFlags:", 8) == 0)
      found = strstr(line, flag) != NULL;
  }
  fclose(maps);
  return found;
}

static void advice(void) {
  char rule[64] = "";
  FILE* file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
  if (file == NULL) _exit(77);
  if (fgets(rule, sizeof rule, file) == NULL || strstr(rule, "[madvise]") == NULL) _exit(77);
  fclose(file);
  void* block = malloc(64 * MIB);
  expect(!has_flag((char*)block + 32 * MIB, " hg"), "advised at first");
  set(REAM_HUGE_PAGES_ALWAYS);
  expect(has_flag((char*)block + 32 * MIB, " hg"), "not advised");
  set(REAM_HUGE_PAGES_NEVER);
  expect(!has_flag((char*)block + 32 * MIB, " hg"), "advised for ever");
  free(block);
}

static void forked(void) {
  set(REAM_HUGE_PAGES_NEVER);
  const pid_t child = fork();
  if (child == 0) {
    expect(ream_get_huge_pages() == REAM_HUGE_PAGES_NEVER, "in the child");
    set(REAM_HUGE_PAGES_ALWAYS);
    _exit(0);
  }
  int status = 1;
  waitpid(child, &status, 0);
  expect(status == 0, "child");
  expect(ream_get_huge_pages() == REAM_HUGE_PAGES_NEVER, "changed by the child");
}

/* ---- the system's pool */

static size_t pooled_kib(void) {
  static char line[256];
  size_t kib = 0;
  FILE* status = fopen("/proc/self/status", "r");
  while (status != NULL && fgets(line, sizeof line, status) != NULL)
    sscanf(line, "HugetlbPages: %zu", &kib);
  if (status != NULL) fclose(status);
  return kib;
}

#define SMALL 6000

static void expect_filled(const unsigned char* p, size_t bytes, unsigned char with) {
  expect(p[0] == with && memcmp(p, p + 1, bytes - 1) == 0, "contents");
}

/* Returns the most that was on the pool, in KiB. */
static size_t work(void) {
  static unsigned char* small[SMALL];
  size_t most = 0;
  for (unsigned round = 0; round < 3; ++round) {
    unsigned char* large = malloc(3 * MIB);
    memset(large, 7, 3 * MIB);
    for (unsigned i = 0; i < SMALL; ++i) memset(small[i] = malloc(4000), (int)(i & 63), 4000);
    /* Sparse spans, which the worker and a purge look for. */
    for (unsigned i = 0; i < SMALL; ++i) {
      if (i % 8 == 0) continue;
      free(small[i]);
      small[i] = NULL;
    }
    if (pooled_kib() > most) most = pooled_kib();
    if (round == 1) sleep(4);
    ream_purge();
    for (unsigned i = 0; i < SMALL; i += 8) expect_filled(small[i], 4000, i & 63);
    for (size_t bytes = 4 * MIB; bytes <= 24 * MIB; bytes += 4 * MIB) {
      large = realloc(large, bytes);
      expect_filled(large, 3 * MIB, 7);
      memset(large + 3 * MIB, 9, bytes - 3 * MIB);
      if (pooled_kib() > most) most = pooled_kib();
    }
    large = realloc(large, 5 * MIB + 1000);
    unsigned char* zero = calloc(1, 9 * MIB);
    expect_filled(zero, 9 * MIB, 0);
    expect_filled(large, 3 * MIB, 7);
    memset(zero, 1, 9 * MIB);
    free(zero);
    zero = calloc(1, 9 * MIB + 5000);
    expect_filled(zero, 9 * MIB + 5000, 0);
    free(zero);
    free(large);
    for (unsigned i = 0; i < SMALL; i += 8) {
      expect_filled(small[i], 4000, i & 63);
      free(small[i]);
    }
  }
  return most;
}

static void pool(void) {
  expect(ream_get_huge_pages() == REAM_HUGE_PAGES_EXPLICIT, "mode");
  const size_t most = work();
  expect(most >= 24 << 10, "not on the pool");
  ream_purge();
  expect(pooled_kib() <= 6 << 10, "the pool's pages are kept");
}

static void pool_fork(void) {
  unsigned char* block = malloc(6 * MIB);
  memset(block, 3, 6 * MIB);
  expect(pooled_kib() >= 6 << 10, "not on the pool");
  const pid_t child = fork();
  if (child == 0) {
    expect_filled(block, 6 * MIB, 3);
    memset(block, 4, 6 * MIB);
    expect_filled(block, 6 * MIB, 4);
    free(block);
    free(memset(malloc(3 * MIB), 5, 3 * MIB));
    _exit(0);
  }
  memset(block, 5, 3 * MIB);
  int status = 1;
  waitpid(child, &status, 0);
  expect(status == 0, "child");
  expect_filled(block, 3 * MIB, 5);
  expect_filled(block + 3 * MIB, 3 * MIB, 3);
  free(block);
}

int main(int argc, char** argv) {
  const char* what = argc >= 2 ? argv[1] : "";
  if (strcmp(what, "environment") == 0 && argc == 3) {
    expect((int)ream_get_huge_pages() == atoi(argv[2]), "of the environment");
  } else if (strcmp(what, "modes") == 0) {
    modes();
  } else if (strcmp(what, "advice") == 0) {
    advice();
  } else if (strcmp(what, "fork") == 0) {
    forked();
  } else if (strcmp(what, "pool") == 0) {
    pool();
  } else if (strcmp(what, "pool_short") == 0) {
    work();
  } else if (strcmp(what, "pool_fork") == 0) {
    pool_fork();
  } else {
    return 2;
  }
  puts("ok");
  return 0;
}
