/* ream's own functions, for programs in C and C++ that run on it (libream.so preloaded or linked,
   or libream.a): memory limits, huge pages, and heaps with budgets. Where ream may be absent,
   declare what you use weak, and look before you call.

   Memory limits
   -------------
   What is limited is the resident memory of the heap as ream accounts for it: pages that hold
   objects (a large object's from the moment it is made, touched or not), free pages not given back
   to the system, and committed metadata. Memory inside spans of small objects that holds none of
   them and was never touched or was given back does not count. What the process has besides, code,
   stacks, mappings of its own, is not the heap's and does not count either.

   soft   Above it, ream gives back all that lies unused, keeps thread caches at a quarter of their
          budget, and calls the pressure callbacks with REAM_PRESSURE_SOFT, at most every 100 ms.
          REAM_MEMORY_LIMIT=auto does the same when the control group, or the machine, is short of
          memory, whatever the limits.
   hard   A request that would exceed it first has all free memory given back, then the callbacks
          called with REAM_PRESSURE_HARD; if it would exceed it still, it is refused: malloc
          returns null with errno ENOMEM, operator new throws. Freeing always works.

   The bound: ream_memory_in_use() exceeds the hard limit by no more than 256 KiB for each thread
   that allocates at that moment, and the metadata of one growth: 1 MiB, and 2 MiB for each GiB of
   address space.
   A hard limit below what is in use already takes nothing away: requests that need new resident
   memory fail until enough is freed.

   REAM_MEMORY_LIMIT in the environment sets both before the first allocation; see
   docs/memory-limits.md.

   Huge pages
   ----------
   ream asks the system to back the heap with huge pages where the mode says so, while the program
   runs; see docs/huge-pages.md. REAM_HUGE_PAGES in the environment sets the mode before the first
   allocation.

   Heaps with budgets
   ------------------
   A ream_heap is a part of ream's heap with a name, a budget and memory of its own: one a query, a
   request, a tenant. Objects of any size come from it until its budget is reached, and all that it
   still holds goes when it is destroyed. docs/heaps.md says more; <ream/heap.h> has it for C++.

   What counts against the budget is whole pages, as ream_heap_memory_in_use() gives them: runs of
   8 KiB to 256 KiB that hold the objects of one size class, with what is free between them and lost
   at their ends, and each object above 256 KiB rounded up to 8 KiB. So a heap that has one object
   of each of ten sizes uses ten runs. What describes the heap does not count: about 3 KiB, 256
   bytes a size class in use, 64 bytes a run and a byte an object.

   The bound: what is in use never exceeds the budget, not even for a moment and with any number of
   threads, unless ream_heap_set_budget() lowers it below what is in use. A request that would
   exceed it first has runs without objects given up, then the heap's callbacks called; if it would
   still, it is refused: null with errno ENOMEM. The process's memory limits hold for it too.

   free, realloc, malloc_usable_size and operator delete work on objects of any heap, in any thread;
   a resized object stays in its heap.

   Thread safety: all functions, from any thread, but ream_heap_destroy (see there). Functions that
   allocate set errno; the others do not, and where they return an int it is an error number. The
   child of a fork inherits limits, callbacks, the huge page mode, heaps and their objects. */
#ifndef REAM_REAM_H
#define REAM_REAM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Gives all free memory back to the system now: what thread caches, lists and the large cache
   keep, free pages, and free memory inside spans in use. Returns the bytes given back. Takes time
   in proportion to the heap. */
size_t ream_purge(void);

/* Sets both limits, in bytes; 0 is none. Returns 0, or EINVAL when soft > hard > 0 and nothing has
   changed. Replaces what REAM_MEMORY_LIMIT said; with `auto`, ends following the control group. */
int ream_set_memory_limit(size_t soft, size_t hard);

/* The limits in force, in bytes; 0 is none. Either pointer may be null. */
void ream_get_memory_limit(size_t* soft, size_t* hard);

/* The bytes that the limits are compared with. A few loads; may be a moment old. */
size_t ream_memory_in_use(void);

typedef enum ream_pressure { REAM_PRESSURE_SOFT = 1, REAM_PRESSURE_HARD = 2 } ream_pressure;

/* `wanted_bytes`: by how much the soft limit is exceeded; where the control group or the machine is
   short of memory, at least an eighth of what is in use; with HARD, how much is missing for the
   request that waits. */
typedef void (*ream_pressure_callback)(ream_pressure level, size_t wanted_bytes, void* arg);

/* Has callback(level, wanted_bytes, arg) called when memory is scarce; up to 64 pairs.

   SOFT is called on ream's worker thread (a stack of 64 KiB, all signals blocked), or, while there
   is none (a small heap, REAM_WORKER=off), on a thread that allocates. HARD is called on the thread
   whose request waits: inside its malloc. ream holds no lock meanwhile, so the callback may free
   and allocate; it is not called again from within itself, and what it allocates in vain is
   refused. It must not wait for a lock that some thread holds while it allocates, nor leave by
   longjmp or an exception. Several threads may be in it at once.

   Returns 0, EINVAL when callback is null, ENOMEM when the table is full. The same pair may be
   entered more than once. */
int ream_on_pressure(ream_pressure_callback callback, void* arg);

/* Takes one entry of this pair out. When it returns, no other thread is in a call of that entry
   (unless this is called from within a callback: then it does not wait). Returns 0, or EINVAL
   when there is no such entry. */
int ream_off_pressure(ream_pressure_callback callback, void* arg);

typedef enum ream_huge_pages {
  REAM_HUGE_PAGES_ADAPTIVE = 0, /* where memory is dense and stays so (the default) */
  REAM_HUGE_PAGES_NEVER = 1,    /* none where ream can prevent it */
  REAM_HUGE_PAGES_ALWAYS = 2,   /* wherever the system gives them; memory may grow by it */
  /* The heap grows by pages of the system's pool (vm.nr_hugepages) while that has enough, else by
     ordinary ones. A child of fork may be ended by SIGBUS when the pool is empty and it, or its
     parent, writes to memory that both have: see docs/huge-pages.md before using it. */
  REAM_HUGE_PAGES_EXPLICIT = 3
} ream_huge_pages;

/* Changes the mode from now on. What the heap has already is brought in line as far as the system
   allows: advice changes at once, in time proportional to the heap's address space; huge pages that
   are there stay until a part of them is given back. Returns 0, or EINVAL for what is none of the
   modes, and nothing has changed. A system without huge pages is no error. */
int ream_set_huge_pages(ream_huge_pages mode);

/* The mode in force. */
ream_huge_pages ream_get_huge_pages(void);

typedef struct ream_heap ream_heap;

/* A new heap without objects. `name` (may be null) is copied, up to 31 bytes. `budget_bytes`: see
   above; 0 is none. It takes about a microsecond and 3 KiB. Null with errno ENOMEM when there is no
   memory. */
ream_heap* ream_heap_create(const char* name, size_t budget_bytes);

/* Frees everything that the heap still holds, and ends it. Its objects are not live any more: who
   frees one is told so as for any object freed twice. Takes time in proportion to the runs of pages
   that it has, not to the objects. Null is nothing. No other thread may be in a function with the
   heap or with one of its objects, nor may this be called from its callback. A function called with
   a heap that was destroyed ends the program (`ream: use of a destroyed heap`), unless another heap
   has taken its place. */
void ream_heap_destroy(ream_heap* heap);

/* As malloc, calloc, aligned_alloc (any power of two as alignment, any size; EINVAL else) and
   realloc do, in this heap. Null with errno ENOMEM at the budget or when there is no memory. A
   request of 0 bytes gets an object. ream_heap_realloc of null allocates; to 0 bytes it frees and
   returns null; when it fails the object is as it was. An object of another heap, or of none, ends
   the program (`ream: realloc of an object of another heap`). */
void* ream_heap_malloc(ream_heap* heap, size_t bytes);
void* ream_heap_calloc(ream_heap* heap, size_t count, size_t each);
void* ream_heap_aligned_alloc(ream_heap* heap, size_t alignment, size_t bytes);
void* ream_heap_realloc(ream_heap* heap, void* object, size_t bytes);

/* As free does, and checks that the object is this heap's: else it ends the program (`ream: free of
   an object of another heap`). Null is nothing. */
void ream_heap_free(ream_heap* heap, void* object);

/* The heap that has the memory at this address, of an object or between objects; null where none
   has: an object of malloc, foreign memory. Never faults. A lookup, no lock. */
ream_heap* ream_heap_of(void* address);

/* The name; valid while the heap exists. */
const char* ream_heap_name(const ream_heap* heap);

/* The budget in bytes; 0 is none. A budget below what is in use takes nothing away: requests that
   need another run of pages are refused until enough is freed. */
void ream_heap_set_budget(ream_heap* heap, size_t budget_bytes);
size_t ream_heap_get_budget(const ream_heap* heap);

/* The bytes that the budget is compared with, and the most that they have been. A load. */
size_t ream_heap_memory_in_use(const ream_heap* heap);
size_t ream_heap_peak_memory(const ream_heap* heap);

/* Has callback(REAM_PRESSURE_HARD, wanted_bytes, arg) called when a request would exceed the
   budget, on the thread whose request waits; up to 64 pairs a heap. `wanted_bytes` is what is
   missing. All that ream_on_pressure says of HARD holds. The callback may free objects of this heap
   or any other, and may raise the budget; the request is then tried again. While a thread is in a
   callback of any heap, or of the process, none is called on it.

   Returns 0, EINVAL when callback is null, ENOMEM when the table is full or there is no memory. */
int ream_heap_on_pressure(ream_heap* heap, ream_pressure_callback callback, void* arg);

/* Takes one entry of this pair out, as ream_off_pressure does. Returns 0, or EINVAL when there is
   no such entry. */
int ream_heap_off_pressure(ream_heap* heap, ream_pressure_callback callback, void* arg);

#ifdef __cplusplus
}
#endif

#endif
