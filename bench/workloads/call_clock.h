// Times single calls, of which a thread makes millions, and counts the times in a histogram.
//
// Where more threads run than there are processors, the longest calls by any clock on the wall are
// those during which the thread was switched out: they tell of the scheduler and of what else the
// machine does. To leave such calls out would be wrong as well, since a call that takes a
// millisecond is nearly always interrupted, and those are what a tail is made of. So a call counts
// with the time that its thread ran:
//
//   - It is timed by the processor's counter, which costs no system call.
//   - One that took longer than kSuspectNs, less than a thread needs to be switched out and in
//     again, is given what the thread's CPU clock shows for it. To know where that clock stood
//     before the call it is read now and then (the anchor): at the latest each kAnchorNs, and
//     whenever more than kSuspectNs passed between two calls. From the anchor to the call the
//     thread ran without a gap that can have been a switch, so both clocks went on together.
//
// Page faults, system calls and spinning inside the call are in; sleep is not, for its length is
// the scheduler's too, but the calls that slept are counted. So are interrupts in, and what a
// hypervisor takes without telling the kernel. A time is good to some 10 ns, or 1 us where it is
// above kSuspectNs.
//
// Thread safety: none; a clock and a histogram belong to one thread. Nothing here allocates.

#ifndef REAM_BENCH_WORKLOADS_CALL_CLOCK_H_
#define REAM_BENCH_WORKLOADS_CALL_CLOCK_H_

#include <array>
#include <bit>
#include <cstdint>
#include <ctime>

namespace bench {

// The processor's counter, or nanoseconds where it has none that is known here. Ordered with what
// comes before and after, since the calls timed are as short as the reordering of a processor.
inline std::uint64_t ticks_now() {
#if defined(__x86_64__)
  __builtin_ia32_lfence();
  const std::uint64_t now = __builtin_ia32_rdtsc();
  __builtin_ia32_lfence();
  return now;
#else
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(t.tv_nsec);
#endif
}

// How many ticks a nanosecond has, measured against the system's clock for 20 ms.
double measure_ticks_per_ns();

// Counts of values, in buckets of a sixteenth of each power of two.
//
// Invariant: total_ is the sum of counts_; no value above max_ was added.
class Histogram {
 public:
  void add(std::uint64_t value) {
    ++counts_[bucket_of(value)];
    ++total_;
    max_ = value > max_ ? value : max_;
  }

  void add_all(const Histogram& other);

  std::uint64_t total() const { return total_; }
  std::uint64_t max() const { return max_; }

  // A value that `part` of all values do not exceed: the largest of a bucket. 0 when empty.
  std::uint64_t quantile(double part) const;

 private:
  static constexpr unsigned kSplitBits = 4;
  static constexpr unsigned kSplit = 1u << kSplitBits;

  // Values below kSplit have a bucket each. Above, the leading kSplitBits + 1 bits choose.
  static unsigned bucket_of(std::uint64_t value) {
    if (value < kSplit) {
      return static_cast<unsigned>(value);
    }
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - kSplitBits - 1;
    return (shift + 1) * kSplit + static_cast<unsigned>((value >> shift) - kSplit);
  }

  static std::uint64_t largest_in(unsigned bucket) {
    if (bucket < kSplit) {
      return bucket;
    }
    const unsigned shift = bucket / kSplit - 1;
    return ((std::uint64_t{kSplit} + bucket % kSplit + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (64 - kSplitBits + 1) * kSplit> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

class CallClock {
 public:
  // To be used by the thread that makes it.
  explicit CallClock(double ticks_per_ns);

  // The tick at which a call begins.
  std::uint64_t begin() {
    const std::uint64_t now = ticks_now();
    if (now - last_ > suspect_ticks_ || now - anchor_ticks_ > anchor_every_ticks_) [[unlikely]] {
      return anchor();
    }
    return now;
  }

  // Adds the time of the call that began at `begun` to `times`, in ticks.
  void end(std::uint64_t begun, Histogram& times) {
    last_ = ticks_now();
    std::uint64_t taken = last_ - begun;
    if (taken > suspect_ticks_) [[unlikely]] {
      taken = ticks_run(begun, taken);
    }
    times.add(taken);
  }

  // Calls that slept: that gave the processor up themselves, as a wait for a lock does.
  std::uint64_t slept() const { return slept_; }

 private:
  // Reads the thread's clock, and returns the tick at which it is done.
  std::uint64_t anchor();

  // Of the `taken` ticks since `begun`, those that the thread ran; anchors anew.
  std::uint64_t ticks_run(std::uint64_t begun, std::uint64_t taken);

  double ticks_per_ns_;
  std::uint64_t suspect_ticks_;
  std::uint64_t anchor_every_ticks_;
  std::uint64_t last_ = 0;          // the tick read last
  std::uint64_t anchor_ticks_ = 0;  // the tick at which the next two were so
  std::int64_t anchor_cpu_ns_ = 0;
  long anchor_sleeps_ = 0;  // voluntary switches of the thread
  std::uint64_t slept_ = 0;
};

}  // namespace bench

#endif  // REAM_BENCH_WORKLOADS_CALL_CLOCK_H_
