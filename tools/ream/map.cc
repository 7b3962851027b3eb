// `ream map PID`: the heap of a process that runs, seen from outside without stopping it.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "commands.h"
#include "inspect/reader.h"
#include "messages.h"
#include "process.h"
#include "report.h"

namespace ream::tool {
namespace {

int cannot_read(int pid, int error) {
  if (error == EPERM || error == EACCES)
    say("process {}: its memory may not be read (be its user, or root)", pid);
  else
    say("process {}: its memory cannot be read: {}", pid, std::strerror(error));
  return kFailed;
}

// Of several roots (the program has ream in itself and preloaded too) the one whose heap is in use.
bool read_heap(Process& process, int pid, inspect::Reader& reader, inspect::Snapshot& snapshot) {
  for (const std::uint64_t root : process.find_roots()) {
    if (reader.open(process.memory(), root) != inspect::OpenResult::kOk) continue;
    if (inspect::collect(reader, static_cast<std::uint64_t>(pid), snapshot) &&
        snapshot.counters.grown != 0)
      return true;
  }
  return false;
}

}  // namespace

int map_command(const MapOptions& options) {
  Process process(options.pid);
  const std::string name = process.name();
  if (name.empty()) {
    say("there is no process {}", options.pid);
    return kFailed;
  }
  const auto mappings = process.mappings();
  if (const int error = mappings.empty() ? EACCES : process.access_error(mappings.front().begin))
    return cannot_read(options.pid, error);
  const auto reader = std::make_unique<inspect::Reader>();
  const auto snapshot = std::make_unique<inspect::Snapshot>();
  if (!read_heap(process, options.pid, *reader, *snapshot)) {
    say("process {} ({}) does not run on ream", options.pid, name);
    return kFailed;
  }
  fmt::print("{}, process {}, ream {}\n", name, options.pid, snapshot->library_version.data());
  fmt::print("{}", heap_text(*snapshot, display_of(STDOUT_FILENO, options.color)));
  return 0;
}

}  // namespace ream::tool
