// A frame in a file.
#pragma once

#include <memory>
#include <string>

#include "inspect/snapshot.h"

namespace ream::tool {

// The snapshot in the file; null, and `error` says why, when there is none.
std::unique_ptr<inspect::Snapshot> read_snapshot(const std::string& path, std::string& error);

}  // namespace ream::tool
