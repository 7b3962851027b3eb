// bench_workloads: runs one workload and prints one line of JSON about it.
//
//   bench_workloads --list             names and what they do, tab separated
//   bench_workloads NAME [scale]       runs it; scale 1 is one to three seconds on glibc at most
//   bench_workloads --pair BYTES COUNT the loop of the micro mode; 0 bytes is the empty loop
//
// The times printed are the workload's own, without process start; the caller measures the whole
// process beside them.

#include <ctime>

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "support.h"

namespace bench {
namespace {

using Family = std::span<const Workload> (*)();

constexpr std::array<Family, 14> kFamilies = {
    pairs,     replaces, growths, callocs,     structures, bignums, batches,
    fragments, handoffs, servers, cache_lines, lifetimes,  threads, tails};

std::int64_t clock_ns(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// Resident memory now, in KiB; 0 where the kernel does not tell. Reads with a buffer of its own, so
// that looking allocates nothing.
long resident_kib() {
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) {
    return 0;
  }
  std::array<char, 128> buffer;
  std::setvbuf(file, buffer.data(), _IOFBF, buffer.size());
  long size = 0;
  long resident = 0;
  const int fields = std::fscanf(file, "%ld %ld", &size, &resident);
  std::fclose(file);
  return fields == 2 ? resident * static_cast<long>(kOsPageBytes / kKiB) : 0;
}

template <typename Run>
int report(std::string_view name, const Run& run) {
  const std::int64_t wall_start_ns = clock_ns(CLOCK_MONOTONIC);
  const std::int64_t cpu_start_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  const Result result = run();
  const std::int64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_start_ns;
  const std::int64_t wall_ns = clock_ns(CLOCK_MONOTONIC) - wall_start_ns;
  std::printf("{\"name\": \"%.*s\", \"checksum\": \"%016" PRIx64 "\", \"ops\": %" PRIu64
              ", \"work_wall_ns\": %" PRId64 ", \"work_cpu_ns\": %" PRId64
              ", \"end_rss_kib\": %ld, \"figures\": [",
              static_cast<int>(name.size()), name.data(), result.checksum, result.ops, wall_ns,
              cpu_ns, resident_kib());
  const char* separator = "";
  for (const Figure& figure : result.figures) {
    std::printf("%s{\"name\": \"%s\", \"unit\": \"%s\", \"value\": %.1f}", separator, figure.name,
                figure.unit, figure.value);
    separator = ", ";
  }
  std::puts("]}");
  return 0;
}

int list() {
  for (const Family family : kFamilies) {
    for (const Workload& workload : family()) {
      std::printf("%s\t%s\n", workload.name, workload.about);
    }
  }
  return 0;
}

int usage() {
  std::fputs("usage: bench_workloads --list | NAME [scale] | --pair BYTES COUNT\n", stderr);
  return 2;
}

int run_named(std::string_view name, double scale) {
  for (const Family family : kFamilies) {
    for (const Workload& workload : family()) {
      if (name == workload.name) {
        return report(name, [&] { return workload.run(scale); });
      }
    }
  }
  std::fprintf(stderr, "bench_workloads: no workload \"%.*s\"; --list names them\n",
               static_cast<int>(name.size()), name.data());
  return 2;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  if (argc < 2) {
    return bench::usage();
  }
  const std::string_view name = argv[1];
  if (name == "--list") {
    return bench::list();
  }
  if (name == "--pair") {
    if (argc != 4) {
      return bench::usage();
    }
    const std::size_t bytes = std::strtoull(argv[2], nullptr, 10);
    const std::uint64_t count = std::strtoull(argv[3], nullptr, 10);
    return bench::report(name, [&] { return bench::run_pairs(bytes, count); });
  }
  const double scale = argc > 2 ? std::strtod(argv[2], nullptr) : 1.0;
  if (argc > 3 || !(scale > 0)) {
    return bench::usage();
  }
  return bench::run_named(name, scale);
}
