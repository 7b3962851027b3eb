// A mix: a sequence of operations with a name, a length and a checksum. What it sets up is not
// measured.
//
// Names are those of Go's benchmarks (tests/oracle/oracle_test.go) without `BenchmarkOracle`, so
// that compare finds the counterpart; `at=` marks what Go has none for.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "meter.h"

namespace ream::bench {

struct Result {
  std::uint64_t ops = 0;  // done; at least what was asked for
  std::uint32_t checksum = 0;
  Cost cost{};                // of all of them
  std::optional<Cost> alloc;  // its two halves, where they are timed apart
  std::optional<Cost> free;
  std::optional<std::uint64_t> metadata_bytes;  // committed, where a mix is about them
};

struct Mix {
  std::string name;
  std::uint64_t ops;  // unless the command line says otherwise; Go is asked for as many
  std::function<Result(std::uint64_t ops)> run;
};

using Mixes = std::vector<Mix>;

// Each adds the mixes of one file.
void add_churns(Mixes& mixes);     // random frees and allocations
void add_fragments(Mixes& mixes);  // every other page in use
void add_growths(Mixes& mixes);    // growing; filling and draining
void add_caches(Mixes& mixes);     // page caches
void add_scavenges(Mixes& mixes);  // giving back
void add_chunks(Mixes& mixes);     // one chunk's bits, eight summaries
void add_memory(Mixes& mixes);     // pairs of random pages, beside plain loads

}  // namespace ream::bench
