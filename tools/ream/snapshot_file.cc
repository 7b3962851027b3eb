#include "snapshot_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "inspect/frame_decode.h"

namespace ream::tool {

std::unique_ptr<inspect::Snapshot> read_snapshot(const std::string& path, std::string& error) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) {
    error = errno != 0 ? std::strerror(errno) : "cannot be read";
    return nullptr;
  }
  auto snapshot = std::make_unique<inspect::Snapshot>();
  if (const auto wrong = inspect::decode(bytes.data(), bytes.size(), *snapshot)) {
    error = fmt::format("{} (at byte {})", wrong.what, wrong.offset);
    return nullptr;
  }
  return snapshot;
}

}  // namespace ream::tool
