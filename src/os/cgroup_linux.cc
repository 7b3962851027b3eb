// Limits of control groups on Linux: files in the own group's directory and those above it,
// memory.max and memory.high in version 2, memory.limit_in_bytes in version 1.
#include "os/cgroup.h"

#include <cerrno>
#include <cstddef>

#include "os/cgroup_path.h"
#include "os/small_file.h"

namespace ream::os {
namespace {

// Version 1 says "no limit" with the largest multiple of a page below 2^63.
constexpr std::uint64_t kLeastUnlimited = 1ULL << 62;

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

}  // namespace

CgroupMemory read_cgroup_memory(const char* root) noexcept {
  CgroupDirectory own = find_cgroup_directory(root);
  CgroupMemory memory;
  memory.version = own.version;
  if (own.version == 0) return memory;
  if (!own.path.valid()) {
    memory.limit.kind = CgroupKind::kUnreadable;
    return memory;
  }
  const bool v1 = own.version == 1;
  Path& directory = own.path;
  do {
    const CgroupValue limit = read_value(&directory, v1 ? "memory.limit_in_bytes" : "memory.max");
    const CgroupValue lowest = lower(memory.limit, limit);
    const bool limits_here = limit.kind == CgroupKind::kValue && lowest.bytes == limit.bytes;
    if (limits_here || memory.current.kind == CgroupKind::kAbsent) {
      memory.current = read_value(&directory, v1 ? "memory.usage_in_bytes" : "memory.current");
    }
    memory.limit = lowest;
    if (!v1) memory.high = lower(memory.high, read_value(&directory, "memory.high"));
  } while (directory.up(own.mount_size));
  return memory;
}

}  // namespace ream::os
