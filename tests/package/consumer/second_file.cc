#include "second_file.h"

bool works_in_second_file(ream::page::PageAlloc<OwnGeometry>& pages) {
  using ream::page::Pages;
  const auto run = pages.alloc(Pages(5), Pages(8));
  return run && pages.free(run.base, Pages(5)) && !pages.free(run.base, Pages(5));
}
