// Reads a small text file of /proc, /sys or a test's copy of them. For the files of src/os only.
#pragma once

#include <cstddef>

namespace ream::os {

// Reads up to capacity - 1 bytes of the file into `buffer` and ends them with a zero. Returns how
// many, or the negative errno of open or read. A longer file is cut.
[[nodiscard]] long read_small_file(const char* path, char* buffer, std::size_t capacity) noexcept;

}  // namespace ream::os
