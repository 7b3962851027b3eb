#include "os/pressure.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/check.h"
#include "base/format.h"
#include "os/cgroup_path.h"
#include "os/errno_keeper.h"
#include "os/small_file.h"

namespace ream::os {
namespace {

// Moves `p` behind a number. False when there is none, or it does not fit.
bool parse_number(const char*& p, std::uint64_t& n) noexcept {
  if (*p < '0' || *p > '9') return false;
  for (n = 0; *p >= '0' && *p <= '9'; ++p) {
    if (__builtin_mul_overflow(n, 10u, &n) ||
        __builtin_add_overflow(n, static_cast<unsigned>(*p - '0'), &n))
      return false;
  }
  return true;
}

// "some avg10=I.FF ... total=N": two digits follow the point.
MemoryPressure parse_pressure(const char* text) noexcept {
  constexpr char kBegin[] = "some avg10=";
  constexpr char kTotal[] = " total=";
  if (!starts_with(text, kBegin)) return {};
  const char* p = text + sizeof kBegin - 1;
  std::uint64_t percent = 0;
  std::uint64_t hundredths = 0;
  if (!parse_number(p, percent) || percent > 100 || *p != '.') return {};
  const char* const fraction = ++p;
  if (!parse_number(p, hundredths) || p != fraction + 2) return {};
  const char* const line_end = std::strchr(p, '\n');
  const char* const total = std::strstr(p, kTotal);
  if (total == nullptr || (line_end != nullptr && total > line_end)) return {};
  MemoryPressure pressure;
  p = total + sizeof kTotal - 1;
  if (!parse_number(p, pressure.stalled_us) || (*p != '\n' && *p != '\0')) return {};
  pressure.avg10 = static_cast<std::uint32_t>(percent * 100 + hundredths);
  pressure.known = true;
  return pressure;
}

MemoryPressure read_from(const Path& file) noexcept {
  char text[256];
  if (!file.valid() || read_small_file(file.text(), text, sizeof text) <= 0) return {};
  return parse_pressure(text);
}

// The file that says it, and what.
struct Source {
  Path file;
  MemoryPressure pressure;
};

// The own group's pressure is of what is below it, too; so above it, only a directory that stands
// for it where it cannot be seen itself is asked, as in a container.
void find_source(const char* root, Source& source) noexcept {
  CgroupDirectory own = find_cgroup_directory(root);
  while (own.version == 2 && own.path.valid()) {
    source.file = own.path;
    source.pressure = read_from(source.file.append("/memory.pressure"));
    if (source.pressure.known || ::access(own.path.text(), F_OK) == 0) break;
    if (!own.path.up(own.mount_size)) break;
  }
  if (source.pressure.known) return;
  source.file = Path().append(root).append("/proc/pressure/memory");
  source.pressure = read_from(source.file);
}

}  // namespace

MemoryPressure read_memory_pressure(const char* root) noexcept {
  const ErrnoKeeper keep;
  Source source;
  find_source(root, source);
  return source.pressure;
}

PressureTrigger::~PressureTrigger() {
  const ErrnoKeeper keep;
  if (fd_ >= 0) ::close(fd_);
}

bool PressureTrigger::arm(std::uint64_t stalled_us, std::uint64_t window_us,
                          const char* root) noexcept {
  const ErrnoKeeper keep;
  REAM_CHECK(fd_ < 0);
  Source source;
  find_source(root, source);
  if (!source.pressure.known) return false;
  const int fd = ::open(source.file.text(), O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return false;
  TextBuffer<64> request;
  request.text("some ").dec(stalled_us).text(" ").dec(window_us);
  // The kernel takes the last byte for the end of the text, whatever it is.
  request.text("\n");
  if (::write(fd, request.data(), request.size()) != static_cast<ssize_t>(request.size())) {
    ::close(fd);
    return false;
  }
  fd_ = fd;
  return true;
}

bool PressureTrigger::wait() noexcept {
  const ErrnoKeeper keep;
  REAM_CHECK(fd_ >= 0);
  for (;;) {
    pollfd pressure{fd_, POLLPRI, 0};
    const int n = ::poll(&pressure, 1, -1);
    if (n < 0 && errno == EINTR) continue;
    return n == 1 && (pressure.revents & (POLLERR | POLLNVAL)) == 0;
  }
}

}  // namespace ream::os
