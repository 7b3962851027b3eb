#include "report.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "draw.h"
#include "sizes.h"

namespace ream::tool {
namespace {

using inspect::ClassRow;
using inspect::Counters;
using inspect::LargeRow;
using inspect::Snapshot;

constexpr std::size_t kClassesShown = 12;
constexpr std::size_t kLargeShown = 8;

std::string row(const char* name, const std::string& text) {
  return fmt::format("  {:<14}{}\n", name, text);
}

double seconds_of(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
}

std::string counters_text(const Counters& c) {
  const auto pages = [&c](std::uint64_t bytes) { return count_text(bytes >> c.page_shift); };
  std::string out;
  out += row("live heap",
             fmt::format("{} in {} objects", size_text(c.live), count_text(c.live_objects)));
  out += row("peak heap", fmt::format("{} of pages in use", size_text(c.peak_in_use)));
  out +=
      row("calls", fmt::format("{} mallocs, {} frees", count_text(c.mallocs), count_text(c.frees)));
  out +=
      row("in use", fmt::format("{} ({} pages): {} live small, {} live large, {} cached, {} free "
                                "in {} spans",
                                size_text(c.in_use), pages(c.in_use), size_text(c.small_live),
                                size_text(c.large_live), size_text(c.cached),
                                size_text(c.free_in_spans), count_text(c.spans)));
  out += row("free", fmt::format("{} ({} pages)", size_text(c.free), pages(c.free)));
  out += row("scavenged",
             fmt::format("{} ({} pages); given back over time: {}", size_text(c.scavenged),
                         pages(c.scavenged), size_text(c.purged)));
  out += row("threads", fmt::format("{} with a cache", count_text(c.threads)));
  if (c.torn != 0)
    out += row("unsure", fmt::format("{} parts changed while they were read", count_text(c.torn)));
  return out;
}

std::string classes_text(const Snapshot& snapshot) {
  std::vector<ClassRow> rows(snapshot.classes.begin(), snapshot.classes.end());
  std::erase_if(rows, [](const ClassRow& r) { return r.spans == 0; });
  std::stable_sort(rows.begin(), rows.end(), [](const ClassRow& a, const ClassRow& b) {
    return a.span_bytes > b.span_bytes;
  });
  if (rows.empty()) return "";
  std::string out = fmt::format("{:>10} {:>12} {:>10} {:>10} {:>8} {:>11} {:>6} {:>14}\n", "size",
                                "live", "cached", "free", "spans", "memory", "used", "mallocs");
  for (std::size_t i = 0; i < std::min(rows.size(), kClassesShown); ++i) {
    const ClassRow& r = rows[i];
    const double used = static_cast<double>(r.live * r.object_bytes) * 100 /
                        static_cast<double>(std::max<std::uint64_t>(r.span_bytes, 1));
    out += fmt::format("{:>10} {:>12} {:>10} {:>10} {:>8} {:>11} {:>5.0f}% {:>14}\n",
                       r.object_bytes, count_text(r.live), count_text(r.cached), count_text(r.free),
                       count_text(r.spans), size_text(r.span_bytes), used, count_text(r.mallocs));
  }
  if (rows.size() > kClassesShown)
    out += fmt::format("{:>10} size classes more\n", rows.size() - kClassesShown);
  return out;
}

std::string large_text(const Snapshot& snapshot) {
  const std::uint64_t all = snapshot.counters.large_objects;
  if (all == 0) return "";
  std::string out = fmt::format("{} large object{}, {}; the biggest:", count_text(all),
                                all == 1 ? "" : "s", size_text(snapshot.counters.large_live));
  std::size_t shown = 0;
  for (const LargeRow& large : snapshot.large) {
    if (++shown > kLargeShown) break;
    out += fmt::format("{} {} at {:x}", shown == 1 ? "" : ",", size_text(large.bytes), large.base);
    if (shown % 4 == 0) out += "\n   ";
  }
  while (out.back() == ' ' || out.back() == '\n') out.pop_back();
  return out + "\n";
}

}  // namespace

std::string status_text(int status) {
  if (WIFEXITED(status)) return fmt::format("exited with status {}", WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  const char* name = sigabbrev_np(signal);
  return fmt::format(
      "was killed by {}{}",
      name == nullptr ? fmt::format("signal {}", signal) : fmt::format("SIG{}", name),
      WCOREDUMP(status) ? " (core dumped)" : "");
}

std::string ending_text(const Ending& e) {
  std::string out = fmt::format("{} {}\n", e.program, status_text(e.status));
  out +=
      row("time", fmt::format("{:.3f} s; on processors {:.3f} s user, {:.3f} s system", e.seconds,
                              seconds_of(e.usage.ru_utime), seconds_of(e.usage.ru_stime)));
  out += row("peak RSS", size_text(static_cast<std::uint64_t>(e.usage.ru_maxrss) * 1024));
  return out;
}

std::string heap_text(const Snapshot& snapshot, const Display& display) {
  std::string out = counters_text(snapshot.counters);
  for (const std::string& part :
       {classes_text(snapshot), large_text(snapshot), draw_map(snapshot, display)}) {
    if (!part.empty()) out += "\n" + part;
  }
  return out;
}

}  // namespace ream::tool
