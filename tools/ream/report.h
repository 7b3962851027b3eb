// The report: what a heap holds, as text.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <string>

#include "inspect/snapshot.h"
#include "terminal.h"

namespace ream::tool {

// How a program ended, from wait4.
struct Ending {
  std::string program;
  int status = 0;
  double seconds = 0;
  rusage usage{};
};

// "exited with status 3", "was killed by SIGSEGV (core dumped)".
std::string status_text(int status);

// One line on how it ended, one on its time and one on its memory.
std::string ending_text(const Ending& ending);

// Counters, size classes, large objects and the map.
std::string heap_text(const inspect::Snapshot& snapshot, const Display& display);

}  // namespace ream::tool
