#include "library.h"

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <vector>

#include "elf_file.h"

namespace ream::tool {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "libream.so";

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

}  // namespace

std::string find_library(const std::string& asked, std::string& tried) {
  std::vector<fs::path> places;
  if (!asked.empty()) {
    places.emplace_back(asked);
  } else {
    std::error_code error;
    const fs::path beside = fs::read_symlink("/proc/self/exe", error).parent_path();
    places = {beside / kLibrary, beside.parent_path() / "lib" / kLibrary};
  }
  for (const fs::path& place : places) {
    std::error_code error;
    if (is_file(place)) return fs::absolute(place, error).lexically_normal();
    tried += (tried.empty() ? "" : " or ") + place.string();
  }
  return "";
}

std::string find_program(const std::string& program) {
  if (program.find('/') != std::string::npos) return program;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/bin:/usr/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path candidate = fs::path(folder.empty() ? "." : folder) / program;
    if (is_file(candidate) && access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

std::string preload_obstacle(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return "";
  const bool changes_user = (status.st_mode & S_ISUID) != 0 && status.st_uid != getuid();
  const bool changes_group = (status.st_mode & S_ISGID) != 0 && status.st_gid != getgid();
  if (changes_user || changes_group) return "runs with another user's rights (set-user-ID)";
  if (getuid() != 0 && getxattr(path.c_str(), "security.capability", nullptr, 0) > 0)
    return "runs with capabilities of its file";
  const auto elf = ElfFile::open(path);
  if (!elf || elf->has_interpreter()) return "";
  return elf->symbol("ream_root") ? "" : "is statically linked";
}

}  // namespace ream::tool
