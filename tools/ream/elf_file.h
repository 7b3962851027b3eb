// What is asked of ELF files: whether a program can be preloaded into, and where a symbol lies.
// Files may be anything: every offset is checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ream::tool {

class ElfFile {
 public:
  // None when it cannot be read or is no 64-bit ELF file of this machine's byte order.
  static std::optional<ElfFile> open(const std::string& path);

  // Whether a dynamic loader starts it.
  [[nodiscard]] bool has_interpreter() const { return has_interpreter_; }

  // File offset and address of the first byte that is loaded, both rounded down to 4 KiB.
  struct FirstLoad {
    std::uint64_t offset = 0;
    std::uint64_t address = 0;
  };
  [[nodiscard]] std::optional<FirstLoad> first_load() const { return first_load_; }

  // The value of a defined symbol, from .dynsym, else from .symtab.
  [[nodiscard]] std::optional<std::uint64_t> symbol(const std::string& name) const;

 private:
  struct Table {
    std::uint64_t symbols = 0;  // offset and size in the file
    std::uint64_t symbols_bytes = 0;
    std::uint64_t names = 0;
    std::uint64_t names_bytes = 0;
  };

  [[nodiscard]] bool read_segments(const unsigned char* header);
  void read_sections(const unsigned char* header);
  [[nodiscard]] std::optional<std::uint64_t> symbol_in(const Table& table,
                                                       const std::string& name) const;
  [[nodiscard]] bool read(std::uint64_t offset, void* to, std::uint64_t bytes) const;

  std::string path_;
  bool has_interpreter_ = false;
  std::optional<FirstLoad> first_load_;
  std::vector<Table> tables_;
};

}  // namespace ream::tool
