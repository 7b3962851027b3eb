// A file that is written once, from its start.
//
// Thread safety: a file belongs to one thread.
#pragma once

#include <cstddef>

namespace ream::os {

class OutputFile {
 public:
  OutputFile() noexcept = default;
  ~OutputFile() { static_cast<void>(close()); }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Creates the file (readable by its owner alone), or empties the regular file that is there.
  // False when it cannot be opened or is something else than a file.
  [[nodiscard]] bool open(const char* path) noexcept;

  // Writes all of it, through interruptions and partial writes. REQUIRES: open.
  [[nodiscard]] bool write(const void* bytes, std::size_t n) noexcept;

  // False when what was written may not have arrived. A file that is not open is closed.
  [[nodiscard]] bool close() noexcept;

 private:
  int fd_ = -1;
};

}  // namespace ream::os
