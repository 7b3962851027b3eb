// The subcommands. Each returns the exit status of the command, if it returns.
#pragma once

#include <string>
#include <vector>

#include "terminal.h"

namespace ream::tool {

struct RunOptions {
  bool report = false;
  std::string report_file;  // empty: stderr
  std::string library;      // empty: look for it
  Color color = Color::kAuto;
  std::vector<std::string> command;
};
int run_command(const RunOptions& options);

struct MapOptions {
  int pid = 0;
  Color color = Color::kAuto;
};
int map_command(const MapOptions& options);

struct ShowOptions {
  std::string file;
  Color color = Color::kAuto;
};
int show_command(const ShowOptions& options);

}  // namespace ream::tool
