// Control groups on Linux: the own group's path is in /proc/self/cgroup, the limits are files in
// directories below /sys/fs/cgroup:
//
//   0::/slice/app       version 2   /sys/fs/cgroup/slice/app/memory.max
//   9:memory:/box/12    version 1   /sys/fs/cgroup/memory/box/12/memory.limit_in_bytes
//
// A container often sees the host's path in the first but only its own group, as the root, in the
// second; so a directory that is not there is passed over on the way up.
#include "os/cgroup.h"

#include <cerrno>
#include <cstddef>

#include "os/small_file.h"

namespace ream::os {
namespace {

constexpr std::size_t kPathCapacity = 4096;
// Version 1 says "no limit" with the largest multiple of a page below 2^63.
constexpr std::uint64_t kLeastUnlimited = 1ULL << 62;

// A path that grows and shrinks at its end. Too long a path becomes invalid and stays so.
class Path {
 public:
  Path& append(const char* text) noexcept {
    while (*text != '\0') put(*text++);
    return *this;
  }
  void put(char c) noexcept {
    if (size_ + 1 >= kPathCapacity) {
      valid_ = false;
      return;
    }
    text_[size_++] = c;
    text_[size_] = '\0';
  }
  void cut(std::size_t size) noexcept {
    size_ = size;
    text_[size_] = '\0';
  }
  // Removes the last component, not going below `floor` bytes. False when it is there already.
  bool up(std::size_t floor) noexcept {
    while (size_ > floor && text_[size_ - 1] == '/') --size_;
    if (size_ <= floor) return cut(floor), false;
    while (size_ > floor && text_[size_ - 1] != '/') --size_;
    while (size_ > floor && text_[size_ - 1] == '/') --size_;
    cut(size_);
    return true;
  }
  [[nodiscard]] bool valid() const noexcept { return valid_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const char* text() const noexcept { return text_; }

 private:
  char text_[kPathCapacity] = {};
  std::size_t size_ = 0;
  bool valid_ = true;
};

bool starts_with(const char* text, const char* prefix) noexcept {
  while (*prefix != '\0' && *text == *prefix) ++text, ++prefix;
  return *prefix == '\0';
}

CgroupValue parse_value(const char* text) noexcept {
  if (starts_with(text, "max") && (text[3] == '\n' || text[3] == '\0'))
    return {CgroupKind::kNoLimit, {}};
  if (*text < '0' || *text > '9') return {CgroupKind::kMalformed, {}};
  std::uint64_t value = 0;
  for (; *text >= '0' && *text <= '9'; ++text) {
    const std::uint64_t digit = static_cast<std::uint64_t>(*text - '0');
    if (value > (~std::uint64_t{0} - digit) / 10) return {CgroupKind::kMalformed, {}};
    value = value * 10 + digit;
  }
  if (*text != '\n' && *text != '\0') return {CgroupKind::kMalformed, {}};
  if (value >= kLeastUnlimited) return {CgroupKind::kNoLimit, {}};
  return {CgroupKind::kValue, Bytes(value)};
}

// Reads `directory`/`file`, leaving `directory` as it was.
CgroupValue read_value(Path* directory, const char* file) noexcept {
  const std::size_t size = directory->size();
  directory->append("/").append(file);
  char text[64];
  const long n =
      directory->valid() ? read_small_file(directory->text(), text, sizeof text) : -ENAMETOOLONG;
  directory->cut(size);
  if (n == -ENOENT || n == -ENOTDIR) return {CgroupKind::kAbsent, {}};
  if (n < 0) return {CgroupKind::kUnreadable, {}};
  return parse_value(text);
}

// The lower of two limits; an error at one level counts only while no level has an answer.
CgroupValue lower(CgroupValue a, CgroupValue b) noexcept {
  if (a.kind == CgroupKind::kValue && b.kind == CgroupKind::kValue)
    return b.bytes < a.bytes ? b : a;
  const auto weight = [](CgroupKind kind) noexcept {
    switch (kind) {
      case CgroupKind::kValue:
        return 4;
      case CgroupKind::kMalformed:
        return 3;
      case CgroupKind::kUnreadable:
        return 2;
      case CgroupKind::kNoLimit:
        return 1;
      case CgroupKind::kAbsent:
        return 0;
    }
    return 0;
  };
  return weight(b.kind) > weight(a.kind) ? b : a;
}

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

CgroupMemory read_cgroup_memory(const char* root) noexcept {
  const Path root_path = Path().append(root);
  Path file = root_path;
  file.append("/proc/self/cgroup");
  char lines[8192];
  if (!file.valid() || read_small_file(file.text(), lines, sizeof lines) <= 0) return {};
  const OwnGroup own = find_own_group(lines);
  if (own.version == 0) return {};

  CgroupMemory memory;
  memory.version = own.version;
  const bool v1 = own.version == 1;
  Path directory = root_path;
  directory.append(v1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup");
  const std::size_t mount_size = directory.size();
  for (const char* p = own.path; *p != '\n' && *p != '\0'; ++p) directory.put(*p);
  if (!directory.valid()) {
    memory.limit.kind = CgroupKind::kUnreadable;
    return memory;
  }
  do {
    const CgroupValue limit = read_value(&directory, v1 ? "memory.limit_in_bytes" : "memory.max");
    const CgroupValue lowest = lower(memory.limit, limit);
    const bool limits_here = limit.kind == CgroupKind::kValue && lowest.bytes == limit.bytes;
    if (limits_here || memory.current.kind == CgroupKind::kAbsent) {
      memory.current = read_value(&directory, v1 ? "memory.usage_in_bytes" : "memory.current");
    }
    memory.limit = lowest;
    if (!v1) memory.high = lower(memory.high, read_value(&directory, "memory.high"));
  } while (directory.up(mount_size));
  return memory;
}

}  // namespace ream::os
