// An Environment for ream::page in programs on an operating system (Linux): link ream::page_os.
//
//   reserve, commit, release   mmap, mprotect, munmap: metadata that is resident where it is
//   touched purge                      madvise(MADV_DONTNEED); what the kernel keeps (locked
//   memory) and what
//                              shares an OS page with others is cleared, so it reads as zero in any
//                              case
//   advise_huge, now_ns        madvise(MADV_HUGEPAGE), CLOCK_MONOTONIC
//
// It calls no malloc. Where no private memory stands behind the pages (blocks of a file, frames
// that are unmapped when freed) take a copy and replace or clear `purge`:
//
//   ream::page::Environment env = ream::page::os_environment();
//   env.purge = nullptr;
//
// Its functions ignore `context`, so such a copy may carry one for functions of yours.
//
// Thread safety: a constant; its functions may be called from any thread.
#pragma once

#include <ream/page.h>

#include "heap/page_environment.h"

namespace ream::page {

[[nodiscard]] inline const Environment& os_environment() noexcept { return page_environment(); }

}  // namespace ream::page
