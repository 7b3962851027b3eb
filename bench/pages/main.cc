// bench_pages: the mixes as Google Benchmark runs them. An iteration is an operation; the time is
// CPU time of the measured part only (manual time). `ns` and `csum` are what compare reads.
//
//   bench_pages [--ops=N] [--benchmark_filter=REGEX] [--benchmark_list_tests] ...

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>

#include "mix.h"
#include "page/kernels.h"

namespace ream::bench {
namespace {

Mixes all_mixes() {
  Mixes mixes;
  add_churns(mixes);
  add_fragments(mixes);
  add_growths(mixes);
  add_caches(mixes);
  add_scavenges(mixes);
  add_chunks(mixes);
  add_memory(mixes);
  return mixes;
}

Cost sum_of(const Cost& a, const Cost& b) {
  return {a.cpu_ns + b.cpu_ns, a.wall_ns + b.wall_ns, a.instructions + b.instructions};
}

// Counters of one cost, for each operation.
void report(benchmark::State& state, const std::string& suffix, const Cost& cost,
            std::uint64_t ops) {
  const auto per_op = [&](std::uint64_t n) {
    return static_cast<double>(n) / static_cast<double>(ops);
  };
  state.counters["ns" + suffix] = per_op(cost.cpu_ns);
  state.counters["wall_ns" + suffix] = per_op(cost.wall_ns);
  if (cost.instructions != 0) state.counters["instructions" + suffix] = per_op(cost.instructions);
}

void run(benchmark::State& state, const Mix& mix) {
  const auto ops = static_cast<std::uint64_t>(state.max_iterations);
  while (state.KeepRunningBatch(state.max_iterations)) {
    const Result result = mix.run(ops);
    const Cost whole = result.alloc ? sum_of(*result.alloc, *result.free) : result.cost;
    // Some do a few operations more than were asked for.
    const double asked = static_cast<double>(ops) / static_cast<double>(result.ops);
    state.SetIterationTime(static_cast<double>(whole.cpu_ns) * asked * 1e-9);
    report(state, "", whole, result.ops);
    if (result.alloc) report(state, "_alloc", *result.alloc, result.ops);
    if (result.free) report(state, "_free", *result.free, result.ops);
    if (result.metadata_bytes) {
      state.counters["metadata_bytes"] = static_cast<double>(*result.metadata_bytes);
    }
    state.counters["ops"] = static_cast<double>(result.ops);
    state.counters["csum"] = result.checksum;
  }
}

// Takes `--ops=N` out of the arguments. 0: each mix has its own number.
std::uint64_t take_ops(int& argc, char** argv) {
  constexpr std::string_view kFlag = "--ops=";
  std::uint64_t ops = 0;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with(kFlag)) {
      ops = std::strtoull(argv[i] + kFlag.size(), nullptr, 10);
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return ops;
}

}  // namespace
}  // namespace ream::bench

int main(int argc, char** argv) {
  const std::uint64_t ops = ream::bench::take_ops(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  ream::page::select_kernels();  // as growing a heap does; some mixes have no heap
  const ream::bench::Mixes mixes = ream::bench::all_mixes();
  for (const ream::bench::Mix& mix : mixes) {
    benchmark::RegisterBenchmark(mix.name.c_str(),
                                 [&mix](benchmark::State& state) { ream::bench::run(state, mix); })
        ->Iterations(static_cast<std::int64_t>(ops == 0 ? mix.ops : ops))
        ->UseManualTime();
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
