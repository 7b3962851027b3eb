// `ream run`: a program on ream, and what its heap held when it ended.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "child.h"
#include "commands.h"
#include "library.h"
#include "messages.h"
#include "report.h"
#include "snapshot_file.h"

namespace ream::tool {
namespace {

// A folder for the frame that the program leaves; gone afterwards.
class Folder {
 public:
  Folder() {
    std::error_code error;
    auto base = std::filesystem::temp_directory_path(error);
    path_ = (error ? std::filesystem::path("/tmp") : base) / "ream-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~Folder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] bool exists() const { return !path_.empty(); }
  [[nodiscard]] std::string frame() const { return path_ + "/frame"; }

 private:
  std::string path_;
};

int did_not_start(const std::string& program, int error) {
  say("{}: {}", program, std::strerror(error));
  return error == ENOENT || error == ENOTDIR ? kNotFound : kCannotRun;
}

// The text goes to one place in one piece.
bool put(const RunOptions& options, std::FILE* file, const std::string& text) {
  const bool ok =
      std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
  if (!ok) say("{}: {}", options.report_file, std::strerror(errno));
  return ok;
}

std::string report_text(const RunOptions& options, const Ending& ending, const std::string& frame,
                        std::FILE* file) {
  std::string text = "ream: " + ending_text(ending);
  std::string error;
  const auto snapshot = read_snapshot(frame, error);
  if (snapshot) return text + heap_text(*snapshot, display_of(fileno(file), options.color));
  if (!std::filesystem::exists(frame))
    return text +
           "no report of the heap: the program ended without running its exit handlers, or " +
           "not on ream\n";
  return text + "no report of the heap: " + error + "\n";
}

int run_with_report(const RunOptions& options, const std::string& path) {
  const auto close = [](std::FILE* f) {
    if (f != stderr) std::fclose(f);
  };
  const std::unique_ptr<std::FILE, decltype(close)> file(
      options.report_file.empty() ? stderr : std::fopen(options.report_file.c_str(), "we"), close);
  if (!file) {
    say("{}: {}", options.report_file, std::strerror(errno));
    return kRunFailed;
  }
  int status = 0;
  {
    const Folder folder;
    if (!folder.exists()) {
      say("no place for the report: {}", std::strerror(errno));
      return kRunFailed;
    }
    ChildResult child = run_child(path, options.command, [&folder] {
      setenv("REAM_REPORT", fmt::format("{}:{}", folder.frame(), getpid()).c_str(), 1);
    });
    if (child.exec_errno != 0) return did_not_start(options.command[0], child.exec_errno);
    child.ending.program = options.command[0];
    put(options, file.get(), report_text(options, child.ending, folder.frame(), file.get()));
    status = child.ending.status;
  }
  end_like(status);
}

// Puts the library in front of what is preloaded already. False when its name does not go into
// LD_PRELOAD, which has no quoting.
bool preload(const std::string& library) {
  if (library.find_first_of(": ") != std::string::npos) return false;
  const char* others = std::getenv("LD_PRELOAD");
  const bool more = others != nullptr && *others != '\0';
  setenv("LD_PRELOAD", (more ? library + ":" + others : library).c_str(), 1);
  return true;
}

}  // namespace

int run_command(const RunOptions& options) {
  std::string tried;
  const std::string library = find_library(options.library, tried);
  if (library.empty()) {
    say("no library {}", tried);
    return kRunFailed;
  }
  const std::string& program = options.command[0];
  const std::string path = find_program(program);
  if (path.empty()) {
    say("{}: not found", program);
    return kNotFound;
  }
  const std::string obstacle = preload_obstacle(path);
  if (!obstacle.empty())
    say("{} {}: libream.so cannot be preloaded, it runs with its own malloc", program, obstacle);
  if (!preload(library)) {
    say("{}: a path with a colon or a space cannot be preloaded", library);
    return kRunFailed;
  }
  if (options.report || !options.report_file.empty()) return run_with_report(options, path);
  return did_not_start(program, exec_program(path, options.command));
}

}  // namespace ream::tool
