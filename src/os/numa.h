// Memory nodes (NUMA): how many the machine has for this process, which one a thread is at, and
// where the kernel is to take memory from.
//
// The kernel numbers its nodes with holes; some have no CPU, some no memory, and control groups
// forbid the memory of others. What matters to a heap is which memory a thread finds near. So
// NumaNodes counts *nodes* from 0 without holes: each is the memory that the threads of some CPUs
// find nearest among what the process may use. System nodes are the kernel's.
//
// Thread safety: all; a table is constant once it is read.
#pragma once

#include <array>
#include <cstdint>

#include "base/units.h"

namespace ream::os {

struct NumaNodes {
  static constexpr unsigned kMost = 8;
  static constexpr unsigned kMaxCpus = 4096;  // those numbered higher are asked about each time
  static constexpr unsigned kMaxSystemNodes = 1024;  // the most that Linux can be built for
  static constexpr std::int16_t kShared = -1;

  // 0 and 1 alike: there is one, and the tables say nothing.
  unsigned count = 0;
  // The system node whose memory a node is. kShared where the machine has more than kMost and some
  // share a node: then none is preferred.
  std::array<std::int16_t, kMost> system_node{};
  // One more than the node of a CPU, and of a system node; 0: not known.
  std::array<std::uint8_t, kMaxCpus> of_cpu{};
  std::array<std::uint8_t, kMaxSystemNodes> of_system_node{};
};

// ---- tables (numa_tables_linux.cc)

// Reads the tables in /sys and /proc; what they do not say, or say in a form that is not theirs, is
// one node. `root` is put before /proc and /sys: empty in life, a made-up tree in tests. Costs two
// small reads, and two more a system node where there are several.
void read_numa_nodes(NumaNodes& nodes, const char* root = "") noexcept;

// ---- calls (numa_linux.cc)

// False if the process may use the memory of one system node only. One system call, and no file.
[[nodiscard]] bool may_use_several_nodes() noexcept;

// Whether this thread was given a placement of memory (numactl, set_mempolicy): it is not to be
// overruled. One system call.
[[nodiscard]] bool has_memory_policy() noexcept;

// The node that the calling thread is at, a moment ago: of those in `nodes`. Where the C library
// knows the CPU (rseq) a few instructions.
[[nodiscard]] unsigned node_here(const NumaNodes& nodes) noexcept;

// Has memory of the range, when it is touched the next time, come from that system node while it
// has any. Survives purging and moving, but not renewal. False when the kernel refuses (it has no
// nodes, a filter of system calls, no memory for its record): then the range is as it was.
bool prefer_node(Addr base, Bytes bytes, unsigned system_node) noexcept;

}  // namespace ream::os
