// The huge page mode of the C API (include/ream/ream.h).
//
// Thread safety: all functions.
#include <ream/ream.h>

#include <cerrno>

#include "abi/export.h"
#include "heap/heap.h"
#include "heap/heap_start.h"

namespace {

using ream::HugePageMode;

static_assert(static_cast<int>(HugePageMode::kAdaptive) == REAM_HUGE_PAGES_ADAPTIVE);
static_assert(static_cast<int>(HugePageMode::kNever) == REAM_HUGE_PAGES_NEVER);
static_assert(static_cast<int>(HugePageMode::kAlways) == REAM_HUGE_PAGES_ALWAYS);
static_assert(static_cast<int>(HugePageMode::kExplicit) == REAM_HUGE_PAGES_EXPLICIT);

}  // namespace

// The caller is a C program: `mode` may be any number.
REAM_EXPORT int ream_set_huge_pages(ream_huge_pages mode) {
  switch (static_cast<int>(mode)) {
    case REAM_HUGE_PAGES_ADAPTIVE:
    case REAM_HUGE_PAGES_NEVER:
    case REAM_HUGE_PAGES_ALWAYS:
    case REAM_HUGE_PAGES_EXPLICIT:
      break;
    default:
      return EINVAL;
  }
  ream::start_heap();  // which takes over what the environment says
  ream::g_heap.set_huge_page_mode(static_cast<HugePageMode>(mode));
  return 0;
}

REAM_EXPORT ream_huge_pages ream_get_huge_pages() {
  ream::start_heap();
  return static_cast<ream_huge_pages>(ream::g_heap.huge_page_mode());
}
