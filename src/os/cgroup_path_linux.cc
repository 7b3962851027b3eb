// The own group's path is in /proc/self/cgroup.
#include "os/cgroup_path.h"

#include "os/small_file.h"

namespace ream::os {
namespace {

// Whether `controllers` ("cpu,cpuacct" up to ':') holds "memory".
bool lists_memory(const char* controllers) noexcept {
  for (const char* p = controllers; *p != ':' && *p != '\0' && *p != '\n';) {
    if (starts_with(p, "memory") && (p[6] == ',' || p[6] == ':')) return true;
    while (*p != ',' && *p != ':' && *p != '\0' && *p != '\n') ++p;
    if (*p == ',') ++p;
  }
  return false;
}

const char* after(const char* p, char c) noexcept {
  while (*p != c && *p != '\0' && *p != '\n') ++p;
  return *p == c ? p + 1 : nullptr;
}

// The own group's version and path (up to the end of its line); version 0 when there is none with
// memory. Where both are mounted the version 1 line with "memory" tells that version 2 does not
// have it.
struct OwnGroup {
  unsigned version = 0;
  const char* path = nullptr;
};
OwnGroup find_own_group(const char* lines) noexcept {
  OwnGroup own;
  for (const char* line = lines; line != nullptr && *line != '\0'; line = after(line, '\n')) {
    const char* const controllers = after(line, ':');
    if (controllers == nullptr) continue;
    const char* const path = after(controllers, ':');
    if (path == nullptr || *path != '/') continue;
    if (lists_memory(controllers)) return {1, path};
    if (starts_with(line, "0::")) own = {2, path};
  }
  return own;
}

}  // namespace

CgroupDirectory find_cgroup_directory(const char* root) noexcept {
  CgroupDirectory found;
  const Path root_path = Path().append(root);
  Path file = root_path;
  file.append("/proc/self/cgroup");
  char lines[8192];
  if (!file.valid() || read_small_file(file.text(), lines, sizeof lines) <= 0) return found;
  const OwnGroup own = find_own_group(lines);
  if (own.version == 0) return found;
  found.version = own.version;
  found.path = root_path;
  found.path.append(own.version == 1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup");
  found.mount_size = found.path.size();
  for (const char* p = own.path; *p != '\n' && *p != '\0'; ++p) found.path.put(*p);
  return found;
}

}  // namespace ream::os
