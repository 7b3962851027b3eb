/* The huge page mode, in C against <ream/ream.h>. The first argument says what is looked at; `ok`
   on stdout and status 0 mean that all was as it should be.

   environment MODE   the mode that the environment gave, as a number
   modes              each can be set and is read back, before the first allocation and later; what
                      is no mode changes nothing
   advice             what the kernel has on record for the heap follows the mode; status 77 where
                      the system has no transparent huge pages, or makes none on advice
   fork               the child has its parent's mode and changes its own */
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
                                           REAM_HUGE_PAGES_ADAPTIVE};
  void* blocks[64];
  expect(ream_get_huge_pages() == REAM_HUGE_PAGES_ADAPTIVE, "at first");
  for (unsigned round = 0; round < 12; ++round) {
    const ream_huge_pages mode = kModes[round % 3];
    set(mode);
    for (int bad = -3; bad < 100; ++bad) {
      if (bad >= REAM_HUGE_PAGES_ADAPTIVE && bad <= REAM_HUGE_PAGES_ALWAYS) continue;
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
  } else {
    return 2;
  }
  puts("ok");
  return 0;
}
