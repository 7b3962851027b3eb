// Where the machine has several memory nodes: which lists a thread uses, and what it gives back
// first.
#include <algorithm>

#include "base/bits.h"
#include "heap/heap.h"

namespace ream {

static_assert(Nodes::kMost <= Heap::kMaxShards, "each node has a list");
static_assert(Heap::kMaxShards <= LargeCache::kShards, "lists of two nodes are not one");
static_assert(Nodes::kMost <= TransferCaches::kMaxGroups, "nor are transfer caches");

// A thread that has moved begins at the first of its node's lists, like a new one.
void ThreadCaches::follow_node(const Nodes& nodes, ThreadCache& cache) noexcept {
  const unsigned node = nodes.here();
  if (nodes.of_shard(cache.shard) == node) return;
  open_shard(node);
  cache.shard = static_cast<std::uint8_t>(node);
}

// What a consumer frees is often another node's, and would be handed out here: all of it in the bin
// goes home, before anything else and past the transfer cache. Returns how many objects that were.
std::uint32_t ThreadCaches::give_home(Heap& heap, Bin& bin) noexcept {
  const PageHeap& pages = heap.page_heap();
  const unsigned node = pages.nodes().here();
  const Taken* const own = std::partition(
      bin.base, bin.top,
      [&pages, node](const Taken& t) noexcept { return pages.node_of(Addr(t.object)) != node; });
  const auto count = static_cast<std::uint32_t>(own - bin.base);
  give_to_lists(heap, bin, count);
  return count;
}

void TransferCaches::part(unsigned nodes) noexcept {
  const unsigned cpus = div_ceil(os::cpu_count(), nodes);
  const unsigned groups = std::clamp((cpus + kGroupCpus - 1) / kGroupCpus, 1u, kMaxGroups / nodes);
  __atomic_store_n(&groups_, groups * nodes, __ATOMIC_RELAXED);
}

unsigned TransferCaches::group_at_node(const Nodes& nodes, unsigned groups) noexcept {
  const unsigned count = nodes.count();
  return nodes.here() + os::current_cpu() / kGroupCpus % std::max(groups / count, 1u) * count;
}

void Heap::use_nodes(const os::NumaNodes& nodes) noexcept {
  page_heap_.use_nodes(nodes);
  if (page_heap_.nodes().several()) transfers_.part(page_heap_.nodes().count());
}

unsigned Heap::large_shard(unsigned node) const noexcept {
  const unsigned mine = t_cache->shard;
  return page_heap_.nodes().of_shard(mine) == node ? mine : node;
}

}  // namespace ream
