// A fork handler that allocates, in C.
#pragma once

#include <stdlib.h>

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
