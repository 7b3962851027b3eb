// How the page heap keeps the memory of several nodes apart: each node grows into windows of its
// own, and takes pages of another's only where it can have none itself.
#include <algorithm>

#include "base/bits.h"
#include "heap/page_heap.h"
#include "heap/page_units.h"

namespace ream {

void PageHeap::use_nodes(const os::NumaNodes& nodes) noexcept {
  const std::uint64_t windows =
      div_ceil(os::user_address_limit().n, std::uint64_t{1} << page::HeapWindow::kAddressBits);
  nodes_.start(nodes, static_cast<unsigned>(std::min<std::uint64_t>(windows, kWindows)));
}

// What no window of the node has is looked for in a longer heap, then at other nodes. A node that
// could not grow looks at the others first, since asking the system in vain costs more than a span,
// until they have nothing either.
PageHeap::Run PageHeap::find_run_anew(Pages pages, const Where& where, DirtyRuns* dirty) noexcept {
  const auto is_settled = [](const Run& run) noexcept { return run.base != Addr() || run.refused; };
  Where elsewhere = where;
  elsewhere.elsewhere = true;
  Run run;
  if (starved_[where.node] && nodes_.several()) run = find_run(pages, elsewhere, dirty);
  if (is_settled(run)) return run;
  const bool grown = grow(pages + where.room, where.align, where.node);
  starved_[where.node] = !grown;
  if (grown) run = find_run(pages, where, dirty);
  if (is_settled(run) || !nodes_.several()) return run;
  return find_run(pages, elsewhere, dirty);
}

Addr PageHeap::past_windows_of_others(Addr hint, unsigned node) const noexcept {
  std::size_t w = window_of(hint);
  while (w < kWindows && window_owner_[w] != 0 && window_owner_[w] != node + 1)
    hint = Addr(++w << page::HeapWindow::kAddressBits);
  return hint;
}

// The window that has the most to give back.
std::size_t PageHeap::dirtiest_window() const noexcept {
  std::size_t best = 0;
  Pages most{};
  for (std::size_t i = 0; i < kWindows; ++i) {
    if (!ready_[i] || windows_[i].unscavenged_free_pages() <= most) continue;
    most = windows_[i].unscavenged_free_pages();
    best = i;
  }
  return best;
}

void PageHeap::add_node_stats(PageHeapStats& sum) const noexcept {
  sum.node_count = nodes_.count();
  sum.placements_refused = nodes_.refused();
  for (std::size_t i = 0; i < kWindows; ++i) {
    if (!ready_[i]) continue;
    NodeStats& node = sum.nodes[window_owner_[i] - 1u];
    node.grown += bytes_of(windows_[i].total_pages());
    node.in_use += bytes_of(windows_[i].total_pages() - windows_[i].free_pages_total());
  }
  if (purging_) sum.nodes[node_of(purging_.base)].in_use -= bytes_of(purging_.pages);
}

}  // namespace ream
