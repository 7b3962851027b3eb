// Files of /proc, read into buffers of our own; see process.h.

#include "process.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <span>

#include "../workloads/support.h"

namespace resident {
namespace {

// The text of a small file; cut where it does not fit. False where the file cannot be read.
bool read_text(const char* path, std::span<char> text) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return false;
  }
  std::size_t used = 0;
  ssize_t got = 0;
  while (used + 1 < text.size() &&
         (got = read(file, text.data() + used, text.size() - 1 - used)) > 0) {
    used += static_cast<std::size_t>(got);
  }
  close(file);
  text[used] = '\0';
  return got >= 0;
}

// The number after `label` in text of lines like "Rss:   123 kB"; -1 where there is none.
std::int64_t number_after(const char* text, const char* label) {
  const char* const found = std::strstr(text, label);
  return found == nullptr ? -1 : std::strtoll(found + std::strlen(label), nullptr, 10);
}

std::int64_t clock_ns(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

std::int64_t switches_of(const char* task) {
  std::array<char, 64> path;
  std::array<char, 4096> text;
  std::snprintf(path.data(), path.size(), "/proc/self/task/%s/status", task);
  if (!read_text(path.data(), text)) {
    return -1;
  }
  return number_after(text.data(), "\nvoluntary_ctxt_switches:") +
         number_after(text.data(), "\nnonvoluntary_ctxt_switches:");
}

}  // namespace

Memory memory_now() {
  std::array<char, 4096> text;
  if (!read_text("/proc/self/smaps_rollup", text)) {
    bench::die("cannot read /proc/self/smaps_rollup");
  }
  return {number_after(text.data(), "\nRss:"), number_after(text.data(), "\nAnonHugePages:"),
          number_after(text.data(), "\nLazyFree:")};
}

std::int64_t peak_rss_kib() {
  std::array<char, 4096> text;
  if (!read_text("/proc/self/status", text)) {
    bench::die("cannot read /proc/self/status");
  }
  return number_after(text.data(), "\nVmHWM:");
}

void reset_peak_rss() {
  const int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (file < 0 || write(file, "5", 1) != 1) {
    bench::die("cannot write /proc/self/clear_refs");
  }
  close(file);
}

Spent spent_now() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return {clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_PROCESS_CPUTIME_ID), usage.ru_minflt};
}

OtherThreads other_threads() {
  // What getdents64 fills in; opendir() would allocate.
  struct Entry {
    std::uint64_t inode;
    std::int64_t offset;
    std::uint16_t bytes;
    unsigned char type;
    char name[];
  };
  const int folder = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) {
    bench::die("cannot read /proc/self/task");
  }
  const auto self = static_cast<std::int64_t>(syscall(SYS_gettid));
  OtherThreads others{0, 0};
  alignas(Entry) std::array<char, 4096> entries;
  long bytes;
  while ((bytes = syscall(SYS_getdents64, folder, entries.data(), entries.size())) > 0) {
    for (long at = 0; at < bytes;) {
      const auto* const entry = reinterpret_cast<const Entry*>(entries.data() + at);
      at += entry->bytes;
      const std::int64_t task = std::strtoll(entry->name, nullptr, 10);
      const std::int64_t switches = task == 0 || task == self ? -1 : switches_of(entry->name);
      if (switches >= 0) {
        ++others.count;
        others.switches += switches;
      }
    }
  }
  close(folder);
  return others;
}

void sleep_until(std::int64_t wall_ns) {
  const timespec until{wall_ns / 1'000'000'000, wall_ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

}  // namespace resident
