// The kernel's tables of memory nodes:
//
//   /proc/self/status                         Mems_allowed_list: 0-1   what the process may use
//   /sys/devices/system/node/online           0-2      nodes
//   /sys/devices/system/node/has_memory       0,2      those with memory
//   /sys/devices/system/node/node2/cpulist    4-7,12   CPUs at a node that run now; empty: none
//   /sys/devices/system/node/node2/distance   31 21 10 to each node of `online`, in their order
//
// A list is numbers and ranges. CPUs whose node no list tells are asked about when a thread runs
// there, so a list that cannot be read costs time, not the placement.
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/format.h"
#include "os/numa.h"
#include "os/small_file.h"

namespace ream::os {
namespace {

constexpr char kFolder[] = "/sys/devices/system/node/";
constexpr unsigned kNone = ~0u;

class NodeSet {
 public:
  static constexpr unsigned kCapacity = NumaNodes::kMaxSystemNodes;

  void add(unsigned node) noexcept { words_[node / 64] |= std::uint64_t{1} << node % 64; }
  void keep(const NodeSet& others) noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= others.words_[i];
  }
  [[nodiscard]] bool has(unsigned node) const noexcept {
    return (words_[node / 64] >> node % 64 & 1) != 0;
  }
  [[nodiscard]] unsigned size() const noexcept {
    int sum = 0;
    for (const std::uint64_t word : words_) sum += std::popcount(word);
    return static_cast<unsigned>(sum);
  }
  // The first from `from` on; kCapacity when there is none.
  [[nodiscard]] unsigned next(unsigned from) const noexcept {
    while (from < kCapacity && !has(from)) ++from;
    return from;
  }

 private:
  std::array<std::uint64_t, kCapacity / 64> words_{};
};

// The number at `p`, which moves behind it. False when there is none or it is out of all reason.
bool parse_number(const char*& p, unsigned& n) noexcept {
  constexpr unsigned kMost = 1'000'000;
  if (*p < '0' || *p > '9') return false;
  for (n = 0; *p >= '0' && *p <= '9'; ++p) {
    n = n * 10 + static_cast<unsigned>(*p - '0');
    if (n > kMost) return false;
  }
  return true;
}

// Calls visit(n) for each number below `limit` of a list that ends with the line. False when it is
// none; then some may have been visited.
template <class Visit>
bool parse_list(const char* p, unsigned limit, Visit visit) noexcept {
  if (*p == '\n' || *p == '\0') return true;
  for (;; ++p) {
    unsigned first = 0;
    if (!parse_number(p, first)) return false;
    unsigned last = first;
    if (*p == '-') {
      ++p;
      if (!parse_number(p, last) || last < first) return false;
    }
    for (unsigned n = first; n <= last && n < limit; ++n) visit(n);
    if (*p == '\n' || *p == '\0') return true;
    if (*p != ',') return false;
  }
}

// One reading of the tables, with room for one file at a time.
class Tables {
 public:
  explicit Tables(const char* root) noexcept : root_(root) {}

  // False unless there are several nodes with memory that the process may use.
  [[nodiscard]] bool open() noexcept {
    if (!read_set("has_memory", memory_) && !read_set("has_normal_memory", memory_)) return false;
    NodeSet allowed;
    if (memory_.size() > 1 && read_allowed(allowed)) memory_.keep(allowed);
    return memory_.size() > 1 && read_set("online", online_);
  }

  [[nodiscard]] const NodeSet& online() const noexcept { return online_; }

  // Calls visit(cpu) for the CPUs at a node. True if it has any, also such as cannot be told.
  template <class Visit>
  [[nodiscard]] bool cpus(unsigned node, Visit visit) noexcept {
    const long n = read_of_node(node, "cpulist");
    if (n == -ENOENT) return false;
    if (n < 0 || is_cut(n)) return true;
    bool any = false;
    const bool good = parse_list(text_, NumaNodes::kMaxCpus, [&](unsigned cpu) noexcept {
      any = true;
      visit(cpu);
    });
    return any || !good;
  }

  // Of the memory that the process may use, the nearest to a node: its own, if there is some.
  [[nodiscard]] unsigned nearest_memory(unsigned node) noexcept {
    if (memory_.has(node)) return node;
    const long n = read_of_node(node, "distance");
    unsigned nearest = kNone;
    unsigned least = kNone;
    const char* p = text_;
    for (unsigned to = online_.next(0); n > 0 && to < NodeSet::kCapacity;
         to = online_.next(to + 1)) {
      while (*p == ' ') ++p;
      unsigned distance = 0;
      if (!parse_number(p, distance)) break;
      if (!memory_.has(to) || distance >= least) continue;
      least = distance;
      nearest = to;
    }
    return nearest != kNone ? nearest : memory_.next(0);
  }

 private:
  [[nodiscard]] static bool is_cut(long n) noexcept {
    return static_cast<std::size_t>(n) + 1 >= kCapacity;
  }

  static constexpr std::size_t kPathCapacity = 512;
  using Path = TextBuffer<kPathCapacity>;

  long read(const Path& path) noexcept {
    text_[0] = '\0';
    if (path.size() == kPathCapacity) return -ENAMETOOLONG;
    char name[kPathCapacity];
    std::memcpy(name, path.data(), path.size());
    name[path.size()] = '\0';
    return read_small_file(name, text_, kCapacity);
  }
  long read_of_node(unsigned node, const char* file) noexcept {
    Path path;
    path.text(root_).text(kFolder).text("node").dec(node).text("/").text(file);
    return read(path);
  }
  [[nodiscard]] bool read_set(const char* file, NodeSet& set) noexcept {
    Path path;
    path.text(root_).text(kFolder).text(file);
    const long n = read(path);
    return n > 0 && !is_cut(n) &&
           parse_list(text_, NodeSet::kCapacity, [&set](unsigned x) noexcept { set.add(x); });
  }
  [[nodiscard]] bool read_allowed(NodeSet& set) noexcept {
    constexpr char kName[] = "\nMems_allowed_list:";
    Path path;
    path.text(root_).text("/proc/self/status");
    if (read(path) <= 0) return false;
    const char* p = std::strstr(text_, kName);
    if (p == nullptr) return false;
    for (p += sizeof(kName) - 1; *p == '\t' || *p == ' ';) ++p;
    return parse_list(p, NodeSet::kCapacity, [&set](unsigned x) noexcept { set.add(x); });
  }

  static constexpr std::size_t kCapacity = 8192;

  const char* const root_;
  NodeSet memory_;
  NodeSet online_;
  char text_[kCapacity];
};

// The node that is a system node's memory, made if it is not there yet. Beyond kMost, in turn one
// of those there are.
class Nodes {
 public:
  explicit Nodes(NumaNodes& nodes) noexcept : nodes_(nodes) {}

  [[nodiscard]] std::uint8_t of_memory(unsigned system_node) noexcept {
    std::uint8_t& known = known_[system_node];
    if (known != 0) return known;
    const unsigned node = made_++ % NumaNodes::kMost;
    nodes_.count = std::min(made_, NumaNodes::kMost);
    nodes_.system_node[node] =
        made_ > NumaNodes::kMost ? NumaNodes::kShared : static_cast<std::int16_t>(system_node);
    known = static_cast<std::uint8_t>(node + 1);
    return known;
  }
  // 0 when no CPU has made it.
  [[nodiscard]] std::uint8_t known(unsigned system_node) const noexcept {
    return known_[system_node];
  }

 private:
  NumaNodes& nodes_;
  unsigned made_ = 0;
  std::array<std::uint8_t, NodeSet::kCapacity> known_{};
};

}  // namespace

// Nodes are made for CPUs. A system node that has none gets the node of the memory nearest to it,
// for CPUs that come later.
void read_numa_nodes(NumaNodes& nodes, const char* root) noexcept {
  nodes = {};
  Tables tables(root);
  if (!tables.open()) return;
  Nodes made(nodes);
  const NodeSet& online = tables.online();
  for (unsigned n = online.next(0); n < NodeSet::kCapacity; n = online.next(n + 1)) {
    const unsigned memory = tables.nearest_memory(n);
    const bool any =
        tables.cpus(n, [&](unsigned cpu) noexcept { nodes.of_cpu[cpu] = made.of_memory(memory); });
    if (any) nodes.of_system_node[n] = made.of_memory(memory);
  }
  for (unsigned n = online.next(0); n < NodeSet::kCapacity; n = online.next(n + 1)) {
    if (nodes.of_system_node[n] == 0)
      nodes.of_system_node[n] = made.known(tables.nearest_memory(n));
  }
}

}  // namespace ream::os
