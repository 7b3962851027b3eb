// Another process, seen from outside: its memory and where its heap's root is. It runs on
// meanwhile.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "inspect/memory_source.h"

namespace ream::tool {

// One line of /proc/PID/maps.
struct Mapping {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t offset = 0;
  std::uint64_t inode = 0;
  bool readable = false;
  std::string path;
};

class Process {
 public:
  explicit Process(pid_t pid) : pid_(pid) {}

  // Empty when there is no such process.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] std::vector<Mapping> mappings() const;

  // Its memory. The process object must outlive the source.
  [[nodiscard]] inspect::MemorySource memory();
  // The errno of a try to read its memory at `address`; 0 when that works.
  [[nodiscard]] int access_error(std::uint64_t address);

  // Addresses where `ream_root` may be, likely ones first: by the symbols of the files that it
  // maps, else by the root's first bytes in their data.
  [[nodiscard]] std::vector<std::uint64_t> find_roots();

 private:
  [[nodiscard]] std::optional<std::uint64_t> root_by_symbol(
      const std::string& path, const std::vector<Mapping>& mappings) const;
  void add_roots_by_magic(const Mapping& mapping, std::vector<std::uint64_t>& roots);

  pid_t pid_;
};

}  // namespace ream::tool
