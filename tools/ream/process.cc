#include "process.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "elf_file.h"
#include "inspect/root.h"

namespace ream::tool {
namespace {

constexpr std::uint64_t kMostScanned = 64u << 20;  // of a mapping, for the root's first bytes
constexpr std::uint64_t kRootAlignment = alignof(inspect::RootV1);

bool read_process(pid_t pid, std::uint64_t address, void* to, std::size_t bytes) noexcept {
  auto* out = static_cast<char*>(to);
  while (bytes > 0) {
    iovec local{out, bytes};
    iovec remote{reinterpret_cast<void*>(address), bytes};
    const ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (n <= 0) return false;
    out += n;
    address += static_cast<std::uint64_t>(n);
    bytes -= static_cast<std::size_t>(n);
  }
  return true;
}

// A file the process maps, as it is found from here: in its own root directory; its program also
// when the file was deleted.
std::string path_from_here(pid_t pid, const std::string& path) {
  std::string executable = fmt::format("/proc/{}/exe", pid);
  std::error_code error;
  if (std::filesystem::read_symlink(executable, error) == path) return executable;
  return fmt::format("/proc/{}/root{}", pid, path);
}

}  // namespace

std::string Process::name() const {
  std::ifstream file(fmt::format("/proc/{}/comm", pid_));
  std::string name;
  std::getline(file, name);
  return name;
}

std::vector<Mapping> Process::mappings() const {
  std::ifstream file(fmt::format("/proc/{}/maps", pid_));
  std::vector<Mapping> found;
  for (std::string line; std::getline(file, line);) {
    Mapping m;
    char permissions[5] = {};
    int path_at = 0;
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*x:%*x %" SCNu64 " %n",
                    &m.begin, &m.end, permissions, &m.offset, &m.inode, &path_at) < 5)
      continue;
    m.readable = permissions[0] == 'r';
    if (path_at > 0) m.path = line.substr(static_cast<std::size_t>(path_at));
    found.push_back(m);
  }
  return found;
}

inspect::MemorySource Process::memory() {
  return {[](void* context, std::uint64_t address, void* to, std::size_t bytes) noexcept {
            return read_process(static_cast<Process*>(context)->pid_, address, to, bytes);
          },
          this};
}

int Process::access_error(std::uint64_t address) {
  char byte = 0;
  errno = 0;
  return read_process(pid_, address, &byte, 1) ? 0 : errno;
}

std::optional<std::uint64_t> Process::root_by_symbol(const std::string& path,
                                                     const std::vector<Mapping>& all) const {
  const std::string here = path_from_here(pid_, path);
  struct stat status{};
  if (stat(here.c_str(), &status) != 0) return std::nullopt;
  const auto elf = ElfFile::open(here);
  if (!elf || !elf->first_load()) return std::nullopt;
  const auto symbol = elf->symbol("ream_root");
  if (!symbol) return std::nullopt;
  for (const Mapping& m : all) {
    if (m.path == path && m.inode == status.st_ino && m.offset == elf->first_load()->offset)
      return m.begin - elf->first_load()->address + *symbol;
  }
  return std::nullopt;
}

void Process::add_roots_by_magic(const Mapping& m, std::vector<std::uint64_t>& roots) {
  if (!m.readable || m.inode == 0 || m.end - m.begin > kMostScanned) return;
  std::vector<char> bytes(m.end - m.begin);
  if (!read_process(pid_, m.begin, bytes.data(), bytes.size())) return;
  for (std::uint64_t i = 0; i + sizeof(inspect::RootV1) <= bytes.size(); i += kRootAlignment) {
    if (std::memcmp(&bytes[i], inspect::RootV1::kMagic, sizeof(inspect::RootV1::kMagic)) == 0)
      roots.push_back(m.begin + i);
  }
}

std::vector<std::uint64_t> Process::find_roots() {
  const std::vector<Mapping> all = mappings();
  std::vector<std::string> paths;
  for (const Mapping& m : all) {
    if (m.inode != 0 && std::find(paths.begin(), paths.end(), m.path) == paths.end())
      paths.push_back(m.path);
  }
  // The program itself is mapped first in most processes, and libraries named for ream come before
  // others, so that not every file has to be read.
  std::stable_partition(paths.begin(), paths.end(), [](const std::string& path) {
    return path.find("libream") != std::string::npos;
  });
  std::vector<std::uint64_t> roots;
  for (const std::string& path : paths) {
    if (const auto root = root_by_symbol(path, all)) roots.push_back(*root);
    if (!roots.empty() && path.find("libream") == std::string::npos) break;
  }
  if (!roots.empty()) return roots;
  for (const Mapping& m : all) add_roots_by_magic(m, roots);
  return roots;
}

}  // namespace ream::tool
