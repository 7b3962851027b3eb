#include "heap/heap_start.h"

#include "base/check.h"
#include "heap/heap.h"
#include "heap/options.h"
#include "os/os.h"

namespace ream {
namespace {

void before_fork() noexcept { g_heap.before_fork(); }
void after_fork_in_parent() noexcept { g_heap.after_fork_in_parent(); }
void after_fork_in_child() noexcept { g_heap.after_fork_in_child(); }

void end_program() noexcept { os::abort_process(); }

// A placement that the process was given stays as it is.
REAM_COLD void find_nodes() noexcept {
  if (!os::may_use_several_nodes() || os::has_memory_policy()) return;
  os::NumaNodes nodes;
  os::read_numa_nodes(nodes);
  g_heap.use_nodes(nodes);
}

constinit bool g_started = false;

}  // namespace

void start_heap() noexcept {
  if (__atomic_load_n(&g_started, __ATOMIC_RELAXED)) [[likely]]
    return;
  if (__atomic_exchange_n(&g_started, true, __ATOMIC_ACQ_REL)) return;
  g_heap.caches().start();
  g_heap.transfers().start();
  set_message_sink(os::write_stderr);
  set_end_program(end_program);
  read_options();
  g_heap.set_limit_of_options();
  if (options().huge_pages != HugePageMode::kAdaptive)
    g_heap.set_huge_page_mode(options().huge_pages);
  if (options().numa) find_nodes();
  // Allocates, and then finds a heap that works.
  static_cast<void>(os::at_fork(before_fork, after_fork_in_parent, after_fork_in_child));
}

}  // namespace ream
