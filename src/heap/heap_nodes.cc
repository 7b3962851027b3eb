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
// goes home, and past the transfer cache. `count` objects are to leave: it becomes more if there
// are more of other nodes. Those come to lie at the bottom, first the ones of this node. Returns
// how many these are.
std::uint32_t ThreadCaches::sort_by_node(const PageHeap& pages, Bin& bin,
                                         std::uint32_t& count) noexcept {
  const unsigned node = pages.nodes().here();
  Taken* const own = std::partition(bin.base, bin.top, [&pages, node](const Taken& t) noexcept {
    return pages.node_of(Addr(t.object)) != node;
  });
  const auto foreign = static_cast<std::uint32_t>(own - bin.base);
  const std::uint32_t near = count - std::min(count, foreign);
  std::rotate(bin.base, own, own + near);
  count = foreign + near;
  return near;
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
