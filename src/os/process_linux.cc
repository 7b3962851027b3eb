// The process on Linux.
#include "os/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "os/errno_keeper.h"
#include "os/memory.h"
#include "os/small_file.h"

namespace ream::os {
namespace {

// Sends SIGABRT to this thread, with the signal unblocked; returns if a handler returned or it is
// ignored.
void raise_abort() noexcept {
  sigset_t abort_only;
  ::sigemptyset(&abort_only);
  ::sigaddset(&abort_only, SIGABRT);
  ::syscall(SYS_tgkill, ::getpid(), ::syscall(SYS_gettid), SIGABRT);
  ::pthread_sigmask(SIG_UNBLOCK, &abort_only, nullptr);
}

Bytes limit_of(__rlimit_resource resource) noexcept {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return ProcessLimits::kUnlimited;
  return Bytes(limit.rlim_cur);
}

}  // namespace

long read_small_file(const char* path, char* buffer, std::size_t capacity) noexcept {
  const ErrnoKeeper keep;
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return -errno;
  std::size_t size = 0;
  long error = 0;
  while (size < capacity - 1) {
    const ssize_t n = ::read(fd, buffer + size, capacity - 1 - size);
    if (n > 0) {
      size += static_cast<std::size_t>(n);
    } else if (n == 0) {
      break;
    } else if (errno != EINTR) {
      error = -errno;
      break;
    }
  }
  ::close(fd);
  buffer[size] = '\0';
  return error != 0 ? error : static_cast<long>(size);
}

const char* const* environment() noexcept { return environ; }

const char* env(const char* name) noexcept {
  const ErrnoKeeper keep;
  if (environ == nullptr || ::getauxval(AT_SECURE) != 0) return nullptr;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const char* e = *entry;
    const char* n = name;
    while (*n != '\0' && *e == *n) ++e, ++n;
    if (*n == '\0' && *e == '=') return e + 1;
  }
  return nullptr;
}

void write_stderr(const char* text, std::size_t bytes) noexcept {
  const ErrnoKeeper keep;
  while (bytes > 0) {
    const ssize_t n = ::write(STDERR_FILENO, text, bytes);
    if (n > 0) {
      text += n;
      bytes -= static_cast<std::size_t>(n);
    } else if (n < 0 && errno == EAGAIN) {
      pollfd full{STDERR_FILENO, POLLOUT, 0};
      if (::poll(&full, 1, 1000) == 0) return;
    } else if (n == 0 || errno != EINTR) {
      return;
    }
  }
}

void abort_process() noexcept {
  raise_abort();
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGABRT, &standard, nullptr);
  raise_abort();
  for (;;) __builtin_trap();
}

Bytes resident_set() noexcept {
  char text[128];
  if (read_small_file("/proc/self/statm", text, sizeof text) <= 0) return Bytes();
  const char* p = text;
  while (*p != '\0' && *p != ' ') ++p;  // the first field is the size of the address space
  if (*p == ' ') ++p;
  std::uint64_t pages = 0;
  for (; *p >= '0' && *p <= '9'; ++p) pages = pages * 10 + static_cast<std::uint64_t>(*p - '0');
  return Bytes(pages * os_page_size().n);
}

ProcessLimits process_limits() noexcept {
  const ErrnoKeeper keep;
  ProcessLimits limits{limit_of(RLIMIT_AS), limit_of(RLIMIT_DATA), Overcommit::kUnknown};
  char text[16];
  if (read_small_file("/proc/sys/vm/overcommit_memory", text, sizeof text) > 0 && text[0] >= '0' &&
      text[0] <= '2') {
    limits.overcommit = static_cast<Overcommit>(text[0] - '0');
  }
  return limits;
}

}  // namespace ream::os
