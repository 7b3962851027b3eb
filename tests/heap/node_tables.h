// Made-up tables of memory nodes, for the made-up OS: the kernel numbers them with holes, so that
// the two kinds of numbers cannot be mixed up.
#pragma once

#include "os/numa.h"

namespace ream {

constexpr int system_node_of(unsigned node) { return static_cast<int>(3 * node + 5); }

inline os::NumaNodes nodes_of(unsigned count) {
  os::NumaNodes nodes;
  nodes.count = count;
  for (unsigned n = 0; n < count; ++n)
    nodes.system_node[n] = static_cast<std::int16_t>(system_node_of(n));
  return nodes;
}

}  // namespace ream
