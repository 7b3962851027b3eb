// The `ream` command: its command line.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "commands.h"
#include "inspect/version.h"
#include "messages.h"

namespace {

using namespace ream::tool;

void add_color(CLI::App& command, Color& color) {
  static const std::map<std::string, Color> kNames{
      {"auto", Color::kAuto}, {"always", Color::kAlways}, {"never", Color::kNever}};
  command.add_option("--color", color, "auto, always or never; auto obeys NO_COLOR")
      ->transform(CLI::CheckedTransformer(kNames).description(""))
      ->type_name("WHEN");
}

CLI::App* add_run(CLI::App& app, RunOptions& run) {
  CLI::App* command = app.add_subcommand(
      "run", "run a program on ream: ream run [OPTIONS] [--] PROGRAM [ARGUMENTS]");
  command->add_flag("--report", run.report,
                    "when it ends, print its time, memory and heap on stderr");
  command->add_option("--report-file", run.report_file, "print the report to a file instead")
      ->type_name("FILE");
  command
      ->add_option("--library", run.library,
                   "the libream.so to use; else the one beside this command, or in ../lib")
      ->type_name("FILE");
  add_color(*command, run.color);
  command->footer(
      "The exit status is the program's; when a signal ends it, this command ends by the same "
      "signal.\n125: ream itself failed; 126: the program cannot be executed; 127: not found.");
  return command;
}

CLI::App* add_map(CLI::App& app, MapOptions& map) {
  CLI::App* command = app.add_subcommand("map", "show the heap of a running process on ream");
  command->add_option("PID", map.pid, "the process")->required();
  add_color(*command, map.color);
  return command;
}

CLI::App* add_show(CLI::App& app, ShowOptions& show) {
  CLI::App* command =
      app.add_subcommand("show", "show a heap that was saved (REAM_REPORT=FILE saves at exit)");
  command->add_option("FILE", show.file, "the saved heap")->required();
  add_color(*command, show.color);
  return command;
}

// What follows `run` and its options is the program's and none of ours: it is cut off before the
// rest is parsed. Leaves in `arguments` what comes before it.
std::vector<std::string> cut_off_program(std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0] != "run") return {};
  const std::vector<std::string> with_value{"--report-file", "--library", "--color"};
  auto at = arguments.begin() + 1;
  while (at != arguments.end() && at->size() > 1 && at->front() == '-' && *at != "--") {
    const bool takes_next =
        std::find(with_value.begin(), with_value.end(), *at) != with_value.end();
    ++at;
    if (takes_next && at != arguments.end()) ++at;
  }
  const auto first = at != arguments.end() && *at == "--" ? at + 1 : at;
  std::vector<std::string> program(first, arguments.end());
  arguments.erase(at, arguments.end());
  return program;
}

int bad_use(std::string what) {
  std::replace(what.begin(), what.end(), '\n', ' ');
  say("{} (see ream --help)", what);
  return kBadUse;
}

int run(int argc, char** argv) {
  CLI::App app{"Runs programs on the memory allocator ream and shows their heaps.", "ream"};
  app.set_version_flag("--version", fmt::format("ream {}", ream::inspect::kReamVersion));
  app.require_subcommand(1);
  RunOptions run;
  MapOptions map;
  ShowOptions show;
  const CLI::App* run_app = add_run(app, run);
  const CLI::App* map_app = add_map(app, map);
  add_show(app, show);

  std::vector<std::string> arguments(argv + 1, argv + argc);
  run.command = cut_off_program(arguments);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    return bad_use(e.what());
  }
  if (run_app->parsed())
    return run.command.empty() ? bad_use("run: which program?") : run_command(run);
  if (map_app->parsed() && map.pid <= 0)
    return bad_use(fmt::format("map: {} is no process", map.pid));
  return map_app->parsed() ? map_command(map) : show_command(show);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    say("{}", e.what());
    return kFailed;
  }
}
