/* A program in C on an installed ream: a heap with a budget, by the public header alone. */
#include <errno.h>
#include <ream/ream.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_all(ream_pressure level, size_t wanted_bytes, void* arg) {
  void** spare = arg;
  if (level == REAM_PRESSURE_HARD && wanted_bytes > 0) free(*spare);
  *spare = NULL;
}

int main(void) {
  ream_heap* heap = ream_heap_create("query", 1 << 20);
  if (heap == NULL) return 1;
  char* text = ream_heap_calloc(heap, 100, 1);
  if (text == NULL || text[99] != 0 || ream_heap_of(text) != heap) return 2;
  strcpy(text, "kept");
  text = realloc(text, 200 << 10);
  if (text == NULL || strcmp(text, "kept") != 0 || ream_heap_of(text) != heap) return 3;
  void* spare = ream_heap_malloc(heap, 600 << 10);
  if (spare == NULL || ream_heap_malloc(heap, 600 << 10) != NULL || errno != ENOMEM) return 4;
  if (ream_heap_on_pressure(heap, free_all, &spare) != 0) return 5;
  void* aligned = ream_heap_aligned_alloc(heap, 4096, 600 << 10);
  if (aligned == NULL || spare != NULL) return 6;
  if (ream_heap_peak_memory(heap) > ream_heap_get_budget(heap)) return 7;
  ream_heap_free(heap, aligned);
  ream_heap_destroy(heap);
  puts("all is well");
  return 0;
}
