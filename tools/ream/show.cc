// `ream show FILE`: the report of a heap from a frame that was written earlier.
#include <fmt/format.h>
#include <unistd.h>

#include "commands.h"
#include "messages.h"
#include "report.h"
#include "snapshot_file.h"

namespace ream::tool {

int show_command(const ShowOptions& options) {
  std::string error;
  const auto snapshot = read_snapshot(options.file, error);
  if (!snapshot) {
    say("{}: {}", options.file, error);
    return kFailed;
  }
  fmt::print("process {}, ream {}\n", snapshot->counters.pid, snapshot->library_version.data());
  fmt::print("{}", heap_text(*snapshot, display_of(STDOUT_FILENO, options.color)));
  return 0;
}

}  // namespace ream::tool
