// bench_resident: runs one workload and writes a line of JSON for each of its phases.
//
//   bench_resident --list                   names and what they do, tab separated
//   bench_resident NAME [SIZE [WAITS]]      runs it; SIZE and WAITS are parts of the full workload
//
// The last line is {"phase": "end", "checksum": "..."}: the same under every allocator.

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "phase.h"
#include "workload.h"

namespace resident {
namespace {

using Family = std::span<const Workload> (*)();

constexpr std::array<Family, 6> kFamilies = {expiries, releases, paces,
                                             sleepers, scales,   random_accesses};

int list() {
  for (const Family family : kFamilies) {
    for (const Workload& workload : family()) {
      std::printf("%s\t%s\n", workload.name, workload.about);
    }
  }
  return 0;
}

int usage() {
  std::fputs("usage: bench_resident --list | NAME [SIZE [WAITS]]\n", stderr);
  return 2;
}

int run_named(std::string_view name, const Effort& effort) {
  for (const Family family : kFamilies) {
    for (const Workload& workload : family()) {
      if (name == workload.name) {
        const std::uint64_t checksum = workload.run(effort);
        std::printf("{\"phase\": \"end\", \"checksum\": \"%016" PRIx64 "\"}\n", checksum);
        return 0;
      }
    }
  }
  std::fprintf(stderr, "bench_resident: no workload \"%.*s\"; --list names them\n",
               static_cast<int>(name.size()), name.data());
  return 2;
}

}  // namespace
}  // namespace resident

int main(int argc, char** argv) {
  resident::keep_lines_here();
  if (argc < 2 || argc > 4) {
    return resident::usage();
  }
  const std::string_view name = argv[1];
  if (name == "--list") {
    return resident::list();
  }
  const resident::Effort effort{argc > 2 ? std::strtod(argv[2], nullptr) : 1.0,
                                argc > 3 ? std::strtod(argv[3], nullptr) : 1.0};
  if (!(effort.size > 0) || !(effort.waits > 0)) {
    return resident::usage();
  }
  return resident::run_named(name, effort);
}
