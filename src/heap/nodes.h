// The machine's memory nodes as the heap uses them: how many there are, which one a thread and a
// central list belong to, and what is asked of the kernel for a node's part of the heap
// (docs/numa.md). On a machine of one node, and before start(), all is node 0, for the price of a
// load.
//
// Thread safety: all; start() once.
// Lifetime: constant-initialised, never destroyed.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/annotate.h"
#include "base/units.h"
#include "os/numa.h"

namespace ream {

class Nodes {
 public:
  static constexpr unsigned kMost = os::NumaNodes::kMost;

  // Parts an address space of `windows` windows (page_heap.h) by these nodes. Where they are not
  // enough, or there is one node, nothing changes.
  void start(const os::NumaNodes& nodes, unsigned windows) noexcept;

  [[nodiscard]] bool several() const noexcept {
    return others_.load(std::memory_order_acquire) != 0;
  }
  [[nodiscard]] unsigned count() const noexcept {
    return others_.load(std::memory_order_acquire) + 1;
  }

  // The node that this thread is at.
  [[nodiscard]] unsigned here() const noexcept {
    if (!several()) [[likely]]
      return 0;
    return os::node_here(table_);
  }
  // The node of a central list: the lists of all nodes take turns.
  [[nodiscard]] unsigned of_shard(unsigned shard) const noexcept {
    if (!several()) [[likely]]
      return 0;
    return shard % count();
  }
  // Where a node's part of the heap begins.
  [[nodiscard]] unsigned first_window(unsigned node) const noexcept { return node * apart_; }

  // Has the kernel take a range's memory from a node, if it will.
  void place(unsigned node, Addr base, Bytes bytes) noexcept {
    if (several()) [[unlikely]]
      ask_kernel(node, base, bytes);
  }
  // Ranges that the kernel would not place: their memory comes from where they are touched.
  [[nodiscard]] std::uint64_t refused() const noexcept {
    return refused_.load(std::memory_order_relaxed);
  }

 private:
  REAM_COLD void ask_kernel(unsigned node, Addr base, Bytes bytes) noexcept;

  os::NumaNodes table_{};  // constant once others_ is not 0
  unsigned apart_ = 0;     // windows, likewise
  std::atomic<unsigned> others_{0};
  std::atomic<std::uint64_t> refused_{0};
};

// A node's part of the heap.
struct NodeStats {
  Bytes grown{};
  Bytes in_use{};  // pages that belong to a span
};

}  // namespace ream
