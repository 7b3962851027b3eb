/* Programs under a memory limit, in C against <ream/ream.h>. The first argument says which; `ok` on
   stdout and status 0 mean that all was as it should be. Figures go to stderr only when it was not.

   cache     LIMIT TOTAL   keeps a cache that it fills by TOTAL MiB and shrinks when called back
   refused   LIMIT         allocates until it is refused, frees, and goes on
   reenter   LIMIT         a callback that allocates and frees, and asks for what it cannot get
   soft      LIMIT         callbacks above soft, on the worker; soft_alone: where there is none
   threads   LIMIT         many threads that replace objects at the limit
   below                   a limit below what is in use
   fork                    the child has limits and callbacks
   environment SOFT HARD   the limits that the environment gave, in bytes

   All but the last two also hold the resident set against the limit, sampled as they go. */
#include <errno.h>
#include <pthread.h>
#include <ream/ream.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define THREADS 16

static size_t g_hard;
static size_t g_before; /* resident set when the program began: code, libraries, stacks */
static atomic_size_t g_peak;
static atomic_size_t g_peak_in_use;
static size_t g_allowance =
    MIB; /* a thread's overshoot, and what stacks and libraries may grow by */

static void fail(const char* what, size_t a, size_t b) {
  fprintf(stderr, "%s: %zu, %zu\n", what, a, b);
  _exit(1);
}

static void expect(int good, const char* what) {
  if (!good) fail(what, ream_memory_in_use(), g_hard);
}

static size_t resident_set(void) {
  size_t total = 0, resident = 0;
  FILE* f = fopen("/proc/self/statm", "r");
  if (f == NULL) return 0;
  if (fscanf(f, "%zu %zu", &total, &resident) != 2) resident = 0;
  fclose(f);
  return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void raise_to(atomic_size_t* peak, size_t value) {
  size_t seen = atomic_load(peak);
  while (value > seen && !atomic_compare_exchange_weak(peak, &seen, value)) {
  }
}

static void look(void) {
  raise_to(&g_peak, resident_set());
  raise_to(&g_peak_in_use, ream_memory_in_use());
}

static void expect_bounded(void) {
  look();
  const size_t most = g_hard + g_allowance;
  if (atomic_load(&g_peak_in_use) > most) fail("in use", g_peak_in_use, most);
  if (atomic_load(&g_peak) > most + g_before) fail("resident", g_peak, most + g_before);
  printf("limit %zu in use %zu resident %zu before %zu KiB\n", g_hard >> 10, g_peak_in_use >> 10,
         g_peak >> 10, g_before >> 10);
}

/* ---- a cache */

struct entry {
  struct entry* next;
  size_t bytes;
};

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *g_oldest, *g_newest;
static size_t g_cached, g_evicted;
static atomic_uint g_soft_calls, g_hard_calls;

static int evict(void) {
  struct entry* e = g_oldest;
  if (e == NULL) return 0;
  g_oldest = e->next;
  if (g_oldest == NULL) g_newest = NULL;
  g_cached -= e->bytes;
  g_evicted += e->bytes;
  free(e);
  return 1;
}

static void shrink(ream_pressure level, size_t wanted, void* arg) {
  expect(arg == &g_cached, "arg");
  atomic_fetch_add(level == REAM_PRESSURE_SOFT ? &g_soft_calls : &g_hard_calls, 1);
  /* The program does not hold the lock while it allocates. */
  pthread_mutex_lock(&g_lock);
  const size_t target = g_evicted + wanted + wanted / 2 + 4 * MIB;
  while (g_evicted < target && evict()) {
  }
  pthread_mutex_unlock(&g_lock);
}

static void cache(size_t total) {
  static const size_t kSizes[] = {100, 900, 5000, 40000, 300000, 2000000};
  expect(ream_on_pressure(shrink, &g_cached) == 0, "on_pressure");
  size_t added = 0;
  for (unsigned i = 0; added < total; ++i) {
    /* Runs of one size, so that others' memory must be given back for them. */
    const size_t bytes = kSizes[added / (total / 12 + 1) % 6] + i % 64;
    struct entry* e = malloc(bytes);
    if (e == NULL) fail("refused", ream_memory_in_use(), g_cached);
    memset(e, 0x5b, bytes);
    e->next = NULL;
    e->bytes = bytes;
    pthread_mutex_lock(&g_lock);
    if (g_newest != NULL)
      g_newest->next = e;
    else
      g_oldest = e;
    g_newest = e;
    g_cached += bytes;
    pthread_mutex_unlock(&g_lock);
    added += bytes;
    if (i % 512 == 0) look();
  }
  expect(g_soft_calls + g_hard_calls > 0, "no call");
  expect(g_evicted > 0 && g_cached > g_hard / 2, "cache shrank too far");
  expect(ream_off_pressure(shrink, &g_cached) == 0, "off_pressure");
}

/* ---- refusal */

static size_t fill(void** blocks, size_t most, size_t bytes) {
  size_t n = 0;
  errno = 0;
  while (n < most && (blocks[n] = malloc(bytes)) != NULL) {
    memset(blocks[n++], 0x5c, bytes);
    if (n % 64 == 0) look();
  }
  return n;
}

static void empty(void** blocks, size_t n) {
  while (n > 0) free(blocks[--n]);
}

static void refused(void) {
  static void* blocks[1 << 20];
  static const size_t kSizes[] = {1000, 200, 20000, 100000, 3 * MIB};
  for (unsigned round = 0; round < 10; ++round) {
    const size_t bytes = kSizes[round % 5];
    const size_t n = fill(blocks, sizeof blocks / sizeof blocks[0], bytes);
    expect(n < sizeof blocks / sizeof blocks[0] && errno == ENOMEM, "not refused");
    if (n * bytes < g_hard / 4 * 3) fail("refused too early", n * bytes, bytes);
    errno = 0;
    expect(malloc(g_hard) == NULL && errno == ENOMEM, "large");
    errno = 0;
    expect(realloc(blocks[0], g_hard) == NULL && errno == ENOMEM, "realloc");
    errno = 0;
    expect(calloc(g_hard / 8, 8) == NULL && errno == ENOMEM, "calloc");
    void* p = blocks[0];
    expect(posix_memalign(&p, 4096, g_hard) == ENOMEM && p == blocks[0], "memalign");
    empty(blocks, n);
    p = malloc(g_hard / 4 * 3);
    expect(p != NULL, "freed memory is not had again");
    memset(p, 1, g_hard / 4 * 3);
    look();
    /* Grows in place or moves; needs no second copy. */
    char* q = realloc(p, g_hard / 8 * 7);
    expect(q != NULL && q[g_hard / 2] == 1, "realloc within the limit");
    look();
    free(q);
  }
}

/* ---- callbacks that use the heap */

static unsigned g_depth;

static void reentering(ream_pressure level, size_t wanted, void* arg) {
  (void)wanted;
  if (level != REAM_PRESSURE_HARD) return;
  expect(++g_depth == 1, "called from within itself");
  for (size_t bytes = 8; bytes <= 4096; bytes *= 2) {
    char* p = malloc(bytes);
    if (p != NULL) memset(p, 1, bytes);
    free(p);
  }
  expect(malloc(g_hard) == NULL, "more than the limit");
  void** held = arg;
  free(*held);
  *held = NULL;
  atomic_fetch_add(&g_hard_calls, 1);
  --g_depth;
}

static void reenter(void) {
  static void* blocks[1 << 20];
  void* held = malloc(g_hard / 8);
  memset(held, 1, g_hard / 8);
  expect(ream_on_pressure(reentering, &held) == 0, "on_pressure");
  size_t n = fill(blocks, sizeof blocks / sizeof blocks[0], 5000);
  expect(held == NULL && g_hard_calls >= 2, "not called");
  if (n * 5000 < g_hard / 2) fail("refused too early", n * 5000, 0);
  empty(blocks, n);
  expect(ream_off_pressure(reentering, &held) == 0, "off_pressure");
  expect(ream_off_pressure(reentering, &held) == EINVAL, "off twice");
}

/* ---- threads */

static atomic_size_t g_refused, g_got;

static void* replace(void* arg) {
  enum { kSlots = 4096 };
  void** slots = calloc(kSlots, sizeof *slots);
  unsigned long long x = 88172645463325252ull + (size_t)arg * 7919;
  for (unsigned i = 0; slots != NULL && i < 8000; ++i) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    const unsigned slot = x % kSlots;
    const size_t bytes = (size_t)1 << (4 + (x >> 20) % 14);
    free(slots[slot]);
    slots[slot] = malloc(bytes);
    atomic_fetch_add(slots[slot] == NULL ? &g_refused : &g_got, 1);
    if (slots[slot] != NULL) memset(slots[slot], 0x11, bytes);
    if (i % 1024 == 0) look();
  }
  for (unsigned i = 0; slots != NULL && i < kSlots; ++i) free(slots[i]);
  free(slots);
  return NULL;
}

static void threads(void) {
  pthread_t ids[THREADS];
  g_allowance += THREADS * MIB / 4 + THREADS * (size_t)(64 << 10); /* overshoot; stacks */
  for (size_t i = 0; i < THREADS; ++i)
    expect(pthread_create(&ids[i], NULL, replace, (void*)i) == 0, "thread");
  for (size_t i = 0; i < THREADS; ++i) pthread_join(ids[i], NULL);
  /* most slots are empty by then, so little is freed for what is asked */
  if (g_got <= g_refused / 8) fail("nearly all refused", g_got, g_refused);
  expect(g_refused > 0, "none refused: not at the limit");
  void* p = malloc(g_hard / 2);
  expect(p != NULL, "freed memory is not had again");
  free(p);
}

/* ---- the soft limit */

static atomic_size_t g_soft_on_own, g_excess;
static atomic_long g_last_ms, g_least_ms = 1 << 30;
static pthread_t g_main;

static long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void note_soft(ream_pressure level, size_t wanted, void* arg) {
  (void)arg;
  if (level != REAM_PRESSURE_SOFT) return;
  const long now = now_ms();
  const long since = now - atomic_exchange(&g_last_ms, now);
  if (atomic_load(&g_soft_calls) > 0 && since < g_least_ms) g_least_ms = since;
  atomic_fetch_add(&g_soft_calls, 1);
  g_excess = wanted;
  if (pthread_equal(pthread_self(), g_main)) atomic_fetch_add(&g_soft_on_own, 1);
}

static void soft(int has_worker) {
  static void* blocks[1 << 20];
  g_main = pthread_self();
  expect(ream_set_memory_limit(g_hard / 2, g_hard) == 0, "set");
  expect(ream_on_pressure(note_soft, NULL) == 0, "on_pressure");
  size_t n = g_hard / 4 / 5000;
  for (size_t i = 0; i < n; ++i) memset(blocks[i] = malloc(5000), 1, 5000);
  usleep(400000);
  expect(g_soft_calls == 0, "called below soft");
  for (const size_t most = n * 3; n < most; ++n) {
    memset(blocks[n] = malloc(5000), 1, 5000);
    if (n % 16 == 0) usleep(100);
  }
  const long begin = now_ms();
  while (g_soft_calls < 3 && now_ms() - begin < 60000) {
    usleep(10000);
    if (!has_worker) free(malloc(100000 + (size_t)rand() % 1000000));
  }
  expect(g_soft_calls >= 3, "not called above soft");
  expect(g_soft_on_own == (has_worker ? 0 : g_soft_calls), "called on the wrong thread");
  if (g_least_ms < 90) fail("called too soon again", (size_t)g_least_ms, 0);
  const size_t over = ream_memory_in_use() - g_hard / 2;
  if (g_excess > over + 2 * MIB || over > g_excess + 2 * MIB) fail("excess", g_excess, over);
  empty(blocks, n);
  expect(ream_purge() > 0 && ream_memory_in_use() < g_hard / 8, "purge");
  const unsigned calls = g_soft_calls;
  usleep(600000);
  expect(g_soft_calls == calls, "called below soft again");
  look();
}

/* ---- others */

static void below(void) {
  char* p = malloc(64 * MIB);
  void* small = malloc(100);
  memset(p, 1, 64 * MIB);
  expect(ream_set_memory_limit(0, 16 * MIB) == 0, "set");
  expect(malloc(MIB) == NULL, "admitted");
  free(small);
  small = malloc(100); /* needs no new memory */
  expect(small != NULL, "a cached object");
  expect(p[32 * MIB] == 1, "contents");
  free(p);
  free(small);
  p = malloc(8 * MIB);
  expect(p != NULL, "freed memory is not had again");
  free(p);
  expect(ream_set_memory_limit(2, 1) == EINVAL, "soft above hard");
  size_t soft = 1, hard = 1;
  ream_get_memory_limit(&soft, &hard);
  expect(soft == 0 && hard == 16 * MIB, "changed by what was refused");
  ream_get_memory_limit(NULL, NULL);
  expect(ream_set_memory_limit(5 * MIB, 0) == 0, "soft alone");
  p = malloc(64 * MIB);
  expect(p != NULL, "soft refuses nothing");
  free(p);
  expect(ream_set_memory_limit(0, 0) == 0, "none");
}

static void forked(void) {
  void* held = malloc(8 * MIB);
  memset(held, 1, 8 * MIB);
  expect(ream_set_memory_limit(30 * MIB, 32 * MIB) == 0, "set");
  g_hard = 32 * MIB;
  expect(ream_on_pressure(reentering, &held) == 0, "on_pressure");
  const pid_t child = fork();
  if (child == 0) {
    size_t hard = 0;
    ream_get_memory_limit(NULL, &hard);
    expect(hard == 32 * MIB, "limit in the child");
    void* p = malloc(28 * MIB);
    expect(held == NULL, "not called in the child");
    expect(p != NULL, "room that the callback made");
    expect(malloc(8 * MIB) == NULL, "limit not kept in the child");
    _exit(0);
  }
  int status = 1;
  waitpid(child, &status, 0);
  expect(status == 0, "child");
  expect(held != NULL, "called in the parent");
  free(held);
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const char* mode = argv[1];
  if (strcmp(mode, "below") == 0) {
    below();
  } else if (strcmp(mode, "fork") == 0) {
    forked();
  } else if (strcmp(mode, "environment") == 0 && argc == 4) {
    size_t soft = 0, hard = 0;
    ream_get_memory_limit(&soft, &hard);
    if (soft != strtoull(argv[2], NULL, 10) || hard != strtoull(argv[3], NULL, 10))
      fail("limits", soft, hard);
  } else if (argc >= 3) {
    g_hard = strtoull(argv[2], NULL, 10) * MIB;
    g_before = resident_set();
    expect(ream_set_memory_limit(g_hard - g_hard / 8, g_hard) == 0, "set");
    if (strcmp(mode, "cache") == 0 && argc == 4) {
      cache(strtoull(argv[3], NULL, 10) * MIB);
    } else if (strcmp(mode, "refused") == 0) {
      refused();
    } else if (strcmp(mode, "reenter") == 0) {
      reenter();
    } else if (strcmp(mode, "soft") == 0 || strcmp(mode, "soft_alone") == 0) {
      soft(strcmp(mode, "soft") == 0);
    } else if (strcmp(mode, "threads") == 0) {
      threads();
    } else {
      return 2;
    }
    expect_bounded();
  } else {
    return 2;
  }
  puts("ok");
  return 0;
}
