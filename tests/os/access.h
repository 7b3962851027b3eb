// Whether memory may be read or written, found out without faulting: the kernel copies one byte for
// us.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "base/units.h"

namespace ream::os {

class AccessProbe {
 public:
  AccessProbe() noexcept {
    if (::pipe(pipe_) != 0) pipe_[0] = pipe_[1] = -1;
  }
  ~AccessProbe() {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }
  AccessProbe(const AccessProbe&) = delete;
  AccessProbe& operator=(const AccessProbe&) = delete;

  bool readable(Addr addr) noexcept {
    if (::write(pipe_[1], addr.ptr(), 1) != 1) return false;
    char byte;
    return ::read(pipe_[0], &byte, 1) == 1;
  }

  // Leaves the contents as they are.
  bool writable(Addr addr) noexcept {
    if (::write(pipe_[1], addr.ptr(), 1) != 1) return false;
    if (::read(pipe_[0], addr.ptr(), 1) == 1) return true;
    char byte;
    static_cast<void>(::read(pipe_[0], &byte, 1) == 1);
    return false;
  }

 private:
  int pipe_[2];
};

// Every byte of the range has the value.
inline bool all_bytes(Addr base, Bytes bytes, unsigned char value) noexcept {
  const auto* p = static_cast<const unsigned char*>(base.ptr());
  return p[0] == value && std::memcmp(p, p + 1, bytes.n - 1) == 0;
}
inline void fill(Addr base, Bytes bytes, unsigned char value) noexcept {
  std::memset(base.ptr(), value, bytes.n);
}

}  // namespace ream::os
