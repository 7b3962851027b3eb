#include "heap/nodes.h"

namespace ream {

void Nodes::start(const os::NumaNodes& nodes, unsigned windows) noexcept {
  if (nodes.count <= 1 || nodes.count > windows) return;
  table_ = nodes;
  apart_ = windows / nodes.count;
  others_.store(nodes.count - 1, std::memory_order_release);
}

void Nodes::ask_kernel(unsigned node, Addr base, Bytes bytes) noexcept {
  const std::int16_t wanted = table_.system_node[node];
  if (wanted == os::NumaNodes::kShared) return;
  if (!os::prefer_node(base, bytes, static_cast<unsigned>(wanted)))
    refused_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace ream
