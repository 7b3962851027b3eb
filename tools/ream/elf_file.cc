#include "elf_file.h"

#include <elf.h>

#include <bit>
#include <cstring>
#include <fstream>

namespace ream::tool {
namespace {

constexpr std::uint64_t kMostBytes = 1u << 30;  // of a table
constexpr std::uint64_t kPage = 4096;

}  // namespace

bool ElfFile::read(std::uint64_t offset, void* to, std::uint64_t bytes) const {
  std::ifstream file(path_, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  return bytes == 0 ||
         static_cast<bool>(file.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes)));
}

std::optional<ElfFile> ElfFile::open(const std::string& path) {
  ElfFile elf;
  elf.path_ = path;
  Elf64_Ehdr header;
  if (!elf.read(0, &header, sizeof(header))) return std::nullopt;
  constexpr unsigned char kOrder =
      std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != kOrder)
    return std::nullopt;
  const auto* bytes = reinterpret_cast<const unsigned char*>(&header);
  if (!elf.read_segments(bytes)) return std::nullopt;
  elf.read_sections(bytes);
  return elf;
}

bool ElfFile::read_segments(const unsigned char* bytes) {
  Elf64_Ehdr header;
  std::memcpy(&header, bytes, sizeof(header));
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return header.e_phnum == 0;
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  if (!read(header.e_phoff, segments.data(), segments.size() * sizeof(Elf64_Phdr))) return false;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_INTERP) has_interpreter_ = true;
    if (segment.p_type != PT_LOAD || first_load_) continue;
    first_load_ = FirstLoad{segment.p_offset / kPage * kPage, segment.p_vaddr / kPage * kPage};
  }
  return true;
}

void ElfFile::read_sections(const unsigned char* bytes) {
  Elf64_Ehdr header;
  std::memcpy(&header, bytes, sizeof(header));
  if (header.e_shentsize != sizeof(Elf64_Shdr)) return;
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  if (!read(header.e_shoff, sections.data(), sections.size() * sizeof(Elf64_Shdr))) return;
  for (const std::uint32_t type : {SHT_DYNSYM, SHT_SYMTAB}) {
    for (const Elf64_Shdr& section : sections) {
      if (section.sh_type != type || section.sh_link >= sections.size()) continue;
      const Elf64_Shdr& names = sections[section.sh_link];
      if (section.sh_size > kMostBytes || names.sh_size > kMostBytes) continue;
      tables_.push_back({section.sh_offset, section.sh_size, names.sh_offset, names.sh_size});
    }
  }
}

std::optional<std::uint64_t> ElfFile::symbol(const std::string& name) const {
  for (const Table& table : tables_) {
    if (const auto value = symbol_in(table, name)) return value;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ElfFile::symbol_in(const Table& table, const std::string& name) const {
  std::string names(table.names_bytes, '\0');
  std::vector<Elf64_Sym> symbols(table.symbols_bytes / sizeof(Elf64_Sym));
  if (!read(table.names, names.data(), names.size())) return std::nullopt;
  if (names.find(name) == std::string::npos) return std::nullopt;
  if (!read(table.symbols, symbols.data(), symbols.size() * sizeof(Elf64_Sym))) return std::nullopt;
  for (const Elf64_Sym& symbol : symbols) {
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_name >= names.size()) continue;
    if (name == names.c_str() + symbol.st_name) return symbol.st_value;
  }
  return std::nullopt;
}

}  // namespace ream::tool
