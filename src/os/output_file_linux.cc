// Files on Linux.
#include "os/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "os/errno_keeper.h"

namespace ream::os {

bool OutputFile::open(const char* path) noexcept {
  const ErrnoKeeper keep;
  // Without O_TRUNC at first: what is no file is left alone. O_NONBLOCK: nor is a pipe waited for.
  fd_ = ::open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
  if (fd_ < 0) return false;
  struct stat status{};
  if (::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode) && ::ftruncate(fd_, 0) == 0)
    return true;
  static_cast<void>(close());
  return false;
}

bool OutputFile::write(const void* bytes, std::size_t n) noexcept {
  const ErrnoKeeper keep;
  const auto* p = static_cast<const unsigned char*>(bytes);
  while (n > 0) {
    const ssize_t done = ::write(fd_, p, n);
    if (done > 0) {
      p += done;
      n -= static_cast<std::size_t>(done);
    } else if (done == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

bool OutputFile::close() noexcept {
  const ErrnoKeeper keep;
  if (fd_ < 0) return true;
  const int fd = fd_;
  fd_ = -1;
  return ::close(fd) == 0;
}

}  // namespace ream::os
