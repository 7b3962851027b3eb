// Clocks and quantiles; see call_clock.h.

#include "call_clock.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>

namespace bench {
namespace {

constexpr double kSuspectNs = 3000;
constexpr double kAnchorNs = 1'000'000;
constexpr std::int64_t kCalibrationNs = 20'000'000;

// How often a clock is read anew because the thread was switched out meanwhile.
constexpr unsigned kReadTries = 8;

std::int64_t clock_ns(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// A clock, and the tick at which it was read.
struct Reading {
  std::uint64_t ticks;
  std::int64_t ns;
};

// Takes the first reading that took at most `enough` ticks, or of some the one that took the least.
Reading read_together(clockid_t id, std::uint64_t enough) {
  Reading best{};
  std::uint64_t least = ~std::uint64_t{0};
  for (unsigned i = 0; i < kReadTries && least > enough; ++i) {
    const std::uint64_t before = ticks_now();
    const std::int64_t ns = clock_ns(id);
    const std::uint64_t took = ticks_now() - before;
    if (took < least) {
      least = took;
      best = {before + took / 2, ns};
    }
  }
  return best;
}

long sleeps_now() {
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

}  // namespace

double measure_ticks_per_ns() {
  const Reading start = read_together(CLOCK_MONOTONIC, 0);
  Reading end = start;
  while (end.ns - start.ns < kCalibrationNs) {
    end = read_together(CLOCK_MONOTONIC, 0);
  }
  return static_cast<double>(end.ticks - start.ticks) / static_cast<double>(end.ns - start.ns);
}

void Histogram::add_all(const Histogram& other) {
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    counts_[i] += other.counts_[i];
  }
  total_ += other.total_;
  max_ = std::max(max_, other.max_);
}

std::uint64_t Histogram::quantile(double part) const {
  const auto wanted = static_cast<std::uint64_t>(std::ceil(part * static_cast<double>(total_)));
  std::uint64_t seen = 0;
  for (unsigned i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= wanted) {
      return std::min(largest_in(i), max_);
    }
  }
  return max_;
}

CallClock::CallClock(double ticks_per_ns)
    : ticks_per_ns_(ticks_per_ns),
      suspect_ticks_(static_cast<std::uint64_t>(kSuspectNs * ticks_per_ns)),
      anchor_every_ticks_(static_cast<std::uint64_t>(kAnchorNs * ticks_per_ns)) {
  anchor();
}

std::uint64_t CallClock::anchor() {
  anchor_sleeps_ = sleeps_now();
  const Reading reading = read_together(CLOCK_THREAD_CPUTIME_ID, suspect_ticks_);
  anchor_ticks_ = reading.ticks;
  anchor_cpu_ns_ = reading.ns;
  last_ = ticks_now();
  return last_;
}

std::uint64_t CallClock::ticks_run(std::uint64_t begun, std::uint64_t taken) {
  const auto run_ns = static_cast<double>(clock_ns(CLOCK_THREAD_CPUTIME_ID) - anchor_cpu_ns_);
  const double run_before = static_cast<double>(begun - anchor_ticks_);
  const double run =
      std::clamp(run_ns * ticks_per_ns_ - run_before, 0.0, static_cast<double>(taken));
  slept_ += sleeps_now() > anchor_sleeps_;
  anchor();
  return static_cast<std::uint64_t>(run);
}

}  // namespace bench
